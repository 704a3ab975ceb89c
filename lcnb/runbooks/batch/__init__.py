"""Run one notebook for many rows of parameters: read and check the rows, start one process per row, collect results.

`runner` has `batch` and `resume_batch`; `child` is the program of one row. The package imports the rest of
`lcnb.runbooks` (`run`, `rerun`, `records`, `engine`, `notebook`) and is imported by `widgets` and `cli` only.
"""
