"""Locks across machines: in the store of runs or in Redis, by leases that their holders renew.

A process that needs locks begins one *lease*, an object that it rewrites every few seconds, and points one *lock* after
the other to it, each by compare and swap. Its rules do not depend on clocks that agree:

- The holder counts from the moment before it sent its last renewal. For `proven_s` seconds it may start requests.
- Another process takes over only after it has watched the lease unchanged for `proven_s + margin_s` seconds by its own
  clock, and after it has marked the lease as ended, by compare and swap: a later renewal then fails.
- The margin is longer than a request may take and its effect may come after it, so that what the last holder started
  has shown before the next one starts.

A lease that is gone has ended: to delete it releases all its locks in one step. Locks are never deleted, because their
fencing tokens only grow.
"""
