"""One module for each claim about speed; `make bench` runs all and writes RESULTS.md."""
