"""What is recorded about runs: `run.json`, the index of hashes, notes, history, comparison.

`run_record` reads, `find` finds, `abandoned` settles runs whose process was killed. Nothing here starts a run: the
package imports `lcnb.runbooks.outcomes` and what is below it, and `run`, `rerun` and `batch` import this package.
"""
