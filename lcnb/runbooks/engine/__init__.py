"""How the cells of a run are executed: papermill, Jupyter kernels, and forked shells for warm runs."""
