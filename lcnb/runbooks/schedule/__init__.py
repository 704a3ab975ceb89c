"""How does a scheduler run a runbook at set times, and did it?

`cron` reads cron expressions, `planned` computes when runs start, also when clocks change. `entry` holds what every
writer receives and declares, one module per scheduler writes its files, `systems` lists these modules,
`job_environment` works out what the command needs where it will run, and `export` puts them together.

`install` gives the same files to cron or systemd of this machine: `crontab_block` and `user_crontab` for one,
`user_units` for the other, `installed` records it. `starts` records each start, `occurrences` joins them with the
records of runs, `machine_state` finds what keeps the next run from starting, `check` finds what did not happen, and
`problems` lists all kinds of problems. Nothing here sends a request, except to check parameters against the account.

May import: the ground floor, `transport.network`, `client` and the packages `runbooks.notebook`, `runbooks.records`,
`runbooks.publish` and `runbooks.engine.kernelspecs`, through which a run checks its parameters too, and
`runbooks.engine.secret_pipe`, which names the secrets that no record may hold.
"""
