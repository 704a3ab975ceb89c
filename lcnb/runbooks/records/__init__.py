"""The record of runs: run.json, the index with its hashes, history, comparison and resuming."""
