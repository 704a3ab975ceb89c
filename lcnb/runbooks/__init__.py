"""Runbooks: notebooks with typed parameters that run headless and leave a record.

`find` knows where they are, `parameters` reads and checks what they take, `run` runs one, `report` makes the
page, `papermill_engine` is the only module that touches papermill, `current` is what a notebook calls.
"""
