"""Benchmarks: each module measures lcnb against a usual tool and yields ratios with the bound that lcnb claims."""
