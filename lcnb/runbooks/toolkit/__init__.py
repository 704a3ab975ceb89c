"""What do the shipped runbooks compute, and how do they stay safe to repeat?

One module per topic; its first line names the runbooks that use it. `account_balance`, `account_changes`,
`plan_prices`, `runway`, `ssh_keys`, `spending`, `tags`, `machine_health`, `reachability` and `schedule_watch` only
read. `fleet_file`, `provisioning`, `expiry`, `rotation`, `resizing` and `credentials` prepare changes. `targets`,
`earlier_runs`, `readings`, `waiting`, `credential_stores`, `reporting` and `typed_frames` serve several runbooks.

May import: the ground floor, `api`, `facts`, `frames`, `history`, `display` and `changes`; clients and
`runbooks.current` as types only. `schedule_watch` also imports the package `runbooks.schedule`, which it reports on.
"""
