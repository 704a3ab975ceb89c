"""What people see, in a notebook, a report or a terminal.

The modules may import the ground floor, `lcnb.api` and `lcnb.frames`. This file imports nothing, so that the terminal
and the palette load without pandas and matplotlib.
"""
