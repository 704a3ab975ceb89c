"""What a runbook is: the notebook file, its language, and the parameters that it declares.

Imports only the ground floor, and `frames` to check a selection. Nothing is imported here: a warm run must load little.
"""
