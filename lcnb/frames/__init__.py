"""The account as DataFrames: listings, the inventory with prices, selections of rows.

It imports nothing by itself, so that `lcnb.frames.catalogue` and `lcnb.frames.selection` load without pandas."""
