"""Admin by widgets: forms that end in a ChangeSet, in JupyterLab and as a web page.

    specs    what each form asks, and which client method its answers go to
    forms    `Form`, a pure state machine: EDIT → LOADING → EDIT → CONFIRM → BUSY → DONE | FAILED | UNKNOWN
    runner   does what a form asks for, inline or in a thread: the only place that waits
    answer, grid, secretbox  our own widgets: a question, a table, a secret that is shown;  fields  a field as an Answer
    arrival  a page that has come is told how all is by now
    view     a form on the screen;  confirm  its panel;  fleet  the table of machines;  app  all of it
    runform  a runbook as a form;  runview  `lcnb.runbook(name)`, and its part of the app
    serve    `lcnb admin`

Nothing here sends a write of its own: forms call the client's methods and apply what these give.
"""
