"""How the cells of a run are executed: papermill, Jupyter kernels, and forked shells for warm runs.

Imports the ground floor, `notebook`, `ends` and `judgement`. Nothing is imported here: a warm run must load little.
"""
