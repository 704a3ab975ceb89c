"""The `lcnb` command: one subcommand per screen. The commands parse options; the packages below do the work.

    main                                        the group `lcnb`, and errors as one text and an exit code
    listings, local                             tables of the account; doctor, sandbox, admin, demo
    changes, desired_state, journal             commands that change the account, each by a ChangeSet
    history                                     readings of the account, and what earlier ones found
    runbooks, runs, batch, schedule             run notebooks, and look at what they left
    options, run_options, applying, filtering, printing, run_changes   what several commands share
    doctor, magic                               the checks of `lcnb doctor`; the line magic `%lcnb`

Each module with commands lists them in `COMMANDS`, and `main` names them in `MODULES`. At the top these modules import
click alone, so that `lcnb --help` and completion answer at once. This package may import every other package of lcnb,
and none imports it.
"""
