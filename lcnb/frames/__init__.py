"""The account as DataFrames: listings, the inventory with prices, selections of rows.

The modules may import the ground floor and `lcnb.api`. Only `arrow` and `description` import pandas at their top:
commands print the rows of `listings` and `inventory` without it.
"""
