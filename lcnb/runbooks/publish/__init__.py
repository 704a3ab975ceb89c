"""What do people see of a finished run, and how do they hear of it?

`report` writes the HTML page, with the cells from `cells`; `outputs`, `pictures`, `sanitizer` and `terminal_text` give
each output a form that needs no script and no server. `pdf` prints the page, and `notifications` sends a message.

May import: the ground floor, `display`, `changes` (the records of changes) and `runbooks.notebook`.
"""
