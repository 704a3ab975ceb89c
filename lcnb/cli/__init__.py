"""The `lcnb` command: a subcommand per screen, without logic of its own.

`main` holds the group `lcnb` and its entry point. The other modules hold the subcommands (`listings`, `changes`,
`desired_state`, `journal`, `runbooks`, `runs`, `batch`, `schedule`, `local`) and what they share (`options`,
`applying`, `run_options`, `run_changes`). At the top they import click alone, so that `lcnb --help` and
completion answer at once. `doctor` and `magic` import more, and are loaded by those who need them.
"""
