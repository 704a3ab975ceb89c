"""What the account looked like before: every complete reading, kept as versions of its records in one SQLite file.

    contents, folding, store     how records become versions, and the file that holds them
    readings                     what of a listing is kept, and whether it is complete
    moments                      points in time, as people write them
    past, timeline               the inventory at a time; machines over time with their prices
    comparison, spending         what changed between two times; what the machines cost, with bounds
    saved_tables                 inventories that earlier runs saved, as readings of their time

The modules may import the ground floor, `lcnb.api`, `lcnb.transport` and `lcnb.frames`. This file imports nothing, so
that a client that only writes the history does not load what reads it.
"""
