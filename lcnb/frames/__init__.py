"""The account as DataFrames: listings, the inventory with prices, selections of rows.

The modules may import the ground floor and `lcnb.api`. This file imports nothing, so that `lcnb.frames.catalogue` and
`lcnb.frames.selection` load without pandas.
"""
