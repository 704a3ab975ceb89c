"""lcnb inside other people's Jupyter servers: jobs of jupyter-scheduler as runs, and the card of the admin page.

Jupyter imports these modules by name; nothing in lcnb imports them.
"""
