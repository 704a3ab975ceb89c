"""Runbooks: notebooks with typed parameters that run without a person and leave a record.

`run` runs one, `current` is what a notebook calls, `ends` is the table of how a run can end. The packages: `notebook`
(files and parameters), `engine` (cells and kernels), `records` (what is kept of runs), `batch` (many rows), `publish`
(report, PDF, notifications), `schedule` (files for cron and others), `toolkit` (what the shipped runbooks compute).

Runbooks may import the ground floor, api, transport, frames, display, changes and the clients; never widgets or cli.
"""
