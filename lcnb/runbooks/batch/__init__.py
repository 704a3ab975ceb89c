"""Many runs as one: the rows, their checks, one process for each run, and the result."""
