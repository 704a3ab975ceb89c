"""Questions in SQL: DuckDB answers them over copies of lcnb's tables.

`statement` finds the tables that a query names, and refuses what is no question; `tables` knows where each table comes
from; `engine` is the only module that uses DuckDB; `question` joins them. The package imports `api` and `frames`.
"""
