"""Forms and the admin page: every form ends in a ChangeSet, in JupyterLab and as a web page.

    form_fields, form_specs, choices   the fields of each form, and where their choices come from
    form, form_state, form_effects     `Form`, a state machine without widgets, threads or network
    form_messages                      the sentences of a form
    runner                             performs what a form requests, inline or in a thread: the only place that waits
    message_widget, input_field, grid, secretbox   our own browser widgets
    page_sync                          updates a page that has just opened
    elements, field_control, confirm_panel, form_view, style   a form on the screen
    listings, admin_panels, admin_app, admin_page   `lcnb.admin()`, and `lcnb admin` as a page
    runbook_fields, runbook_form, runbook_process, runbook_view   `lcnb.runbook(name)`

Nothing here sends a write of its own: forms call the client's methods and apply the ChangeSets that these return. This
package may import every other package of lcnb except `lcnb.cli`.
"""
