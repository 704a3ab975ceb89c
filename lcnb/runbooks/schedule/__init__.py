"""Which file makes another scheduler run a runbook at set times?

`cron` reads cron expressions, `entry` holds what every writer receives and declares, one module per scheduler writes
its files, `systems` lists these modules, `job_environment` works out what the command needs where it will run, and
`export` puts them together. Nothing here sends a request, except to check parameters against the account.

May import: the ground floor, `transport.network`, `client` and the packages `runbooks.notebook` and
`runbooks.engine.kernelspecs`, through which a run checks its parameters too.
"""
