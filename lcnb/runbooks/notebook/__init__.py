"""What a runbook is: the notebook file, its language, and the parameters that it declares."""
