"""`LetsCloud` and `AsyncLetsCloud`: an account as methods, each written once for both classes.

`methods` holds the methods as generators that yield flows; `derivation` derives a function that waits and one to
await from each; `clients` holds the two classes and `connect`. Nothing is read when a client is created; between calls
a client keeps only connections. May import everything above `client` in the order of packages.
"""

from lcnb.client.clients import AsyncLetsCloud, LetsCloud, connect
from lcnb.client.results import Catalogue

__all__ = ["AsyncLetsCloud", "Catalogue", "LetsCloud", "connect"]
