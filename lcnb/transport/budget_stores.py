"""The rate budget of a token, shared by every process and thread that uses it.

The provider allows 5,000 calls an hour and 120,000 a day for each token, whoever sends them. One row per token
keeps the pace by GCRA (a leaky bucket that is a single time): a burst of 200, then 4,800 an hour. So no hour
ever holds more than 5,000 of our calls, and no day more than 115,400.

`take` reserves a place and tells how long to wait for it; nobody polls. `heard` is told what each reply says of
the limit. Other programs with the same token are seen as calls that we did not make: what they took in the last
minutes they are expected to go on taking, so we slow down early and both sides end the window with calls to
spare. Only a window that is used up, or a 429, stops everybody. `take`, `heard` and `look` on a `State` are
pure; a `Budget` applies them to the first of its rows that works:

    RedisRow    for several machines, when a Redis is configured
    FileRow     for one machine (or several that share a home): 512 bytes of JSON under a file lock
    MemoryRow   for this process alone, when the state folder cannot be used

The row is a file of its own, not one in SQLite: with four processes at it, SQLite's busy handler sleeps too long
(the 99th percentile is ten to twenty times the file's, see benchmarks/budget), and when they ask without a rest
it leaves one of them waiting for seconds. A row that is lost or damaged costs a burst, or a 429, and no more: so
there is no fsync, and what makes no sense is begun anew.

Times are the wall clock's, because that is the one clock that processes and machines share. It may be set back:
see `steady`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import structs

from lcnb.secret import Secret, mask

logger = logging.getLogger("lcnb.transport.budget_stores")

#: Seconds that one permit may wait for the lock of its row: its holder may be suspended.
PATIENCE_S = 3.0
#: Seconds that one permit may wait for Redis.
REDIS_S = 1.0
#: Seconds for which a row that failed is left alone; meanwhile the next one keeps the pace.
REST_S = 60.0
#: What a 429 that names no time is taken to ask for, in seconds.
UNTOLD_S = 60.0
#: What other programs did this long ago counts a third of what they do now.
MEMORY_S = 600.0
#: A clock that is back by less is another machine's, on the same row; by more, it was set.
SKEW_S = 60.0
#: A reply may be on its way for so long.
LATE_S = 60.0
#: A limit that is told and not below this is none.
_NO_LIMIT = 10**9
DAY_S = 86_400.0

T = TypeVar("T")


# --- the rule, without any input or output --------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """`limit` calls in `window` seconds: a share of them at once, the others evenly."""

    limit: int = 5_000
    window: float = 3600.0
    share: float = 0.04

    @cached_property
    def burst(self) -> int:
        return max(1, int(self.limit * self.share))

    @cached_property
    def gap(self) -> float:
        """Seconds from one call to the next, once the burst is used."""
        return self.window / max(1, self.limit - self.burst)

    @cached_property
    def tolerance(self) -> float:
        """How far ahead of its time the burst may be, in seconds."""
        return self.burst * self.gap

    def told(self, limit: int | None) -> Rule:
        """The rule for the limit that the provider tells; one that is far higher is the day's, not the hour's."""
        if limit is None or limit == self.limit or limit >= 12 * self.limit:
            return self
        return replace(self, limit=limit)


_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**12)]


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The row. All times are seconds of one clock; 0 is long ago."""

    #: Theoretical arrival time: the bucket is full again at this time.
    tat: _Seconds = 0.0
    blocked_until: _Seconds = 0.0
    #: Seconds between calls until `end`, when others use the token too; the rule's own otherwise.
    gap: _Seconds = 0.0
    #: When the provider's window ends, at the latest; and until when replies of the one before may come.
    end: _Seconds = 0.0
    fresh_until: _Seconds = 0.0
    #: The most calls that a reply of this window told of, and those that we know of: a reply that tells of more
    #: than we know shows calls of others.
    used: _Count = 0
    known: _Count = 0
    #: Calls of others a second, and when that was reckoned.
    others: _Seconds = 0.0
    others_at: _Seconds = 0.0
    limit: _Count | None = None
    #: The clock when the row was last written.
    seen: _Seconds = 0.0


def steady(state: State, now: float) -> tuple[State, float]:
    """State and time for a clock that never goes back.

    Machines that share a row differ by a little: they live on the clock that is ahead. A clock that was set
    back by more takes the row's times with it, so nobody waits for the old time to come again.
    """
    back = state.seen - now
    if back <= SKEW_S:
        return state, max(now, state.seen)
    times = ("tat", "blocked_until", "end", "fresh_until", "others_at", "seen")
    moved = {name: max(0.0, getattr(state, name) - back) for name in times}
    return structs.replace(state, **moved), now


def take(state: State, now: float, rule: Rule) -> tuple[State, float]:
    """Reserve the next place: the new state, and the seconds until the call may be sent."""
    rule = rule.told(state.limit)
    gap = _gap(state, now, rule)
    begin = max(now, state.blocked_until)
    tat = max(state.tat, begin) + gap
    ahead = max(rule.tolerance, gap)
    if gap > rule.gap and tat - ahead > state.end:  # the slow pace ends with the window
        ahead = rule.tolerance
        tat = max(state.tat, state.end + ahead) + rule.gap
    return structs.replace(state, tat=tat, known=state.known + 1, seen=now), max(begin, tat - ahead) - now


def _gap(state: State, now: float, rule: Rule) -> float:
    return max(state.gap, rule.gap) if now < state.end else rule.gap


def heard(
    state: State,
    now: float,
    rule: Rule,
    *,
    limit: int | None = None,
    remaining: int | None = None,
    reset_s: float | None = None,
    retry_after: float | None = None,
) -> State:
    """The state after a reply. `retry_after` is that of a 429 alone, and stops everybody."""
    state = structs.replace(state, seen=now)
    anew = limit is not None and 0 < limit < _NO_LIMIT and limit != state.limit
    if anew:
        state = structs.replace(state, limit=limit)
    rule = rule.told(state.limit)
    if retry_after is not None:
        return _stopped(state, now, rule, now + _within_a_day(retry_after))
    if remaining is None:
        return state
    allowed = state.limit or rule.limit
    used = min(max(0, allowed - remaining), allowed)
    if anew or used < state.used - rule.burst or now >= state.end + LATE_S:
        state = _new_window(state, now, rule, used)
    elif _overtaken(state, now, rule, used):
        return state
    if reset_s is not None:
        state = structs.replace(state, end=now + _within_a_day(reset_s))
    return _paced(_counted(state, now, used), now, rule, allowed)


def _overtaken(state: State, now: float, rule: Rule, used: int) -> bool:
    """Whether a reply is of the window before: it comes after the end of that, or tells of too many calls.

    Within a window, replies that were overtaken do no harm: the highest number counts.
    """
    return now >= state.end or (now < state.fresh_until and used > state.used + rule.burst)


def _within_a_day(seconds: float) -> float:
    """At least a second: the provider tells whole ones, and they are cut off."""
    return min(max(seconds, 0.0), DAY_S) + 1.0 if seconds == seconds else UNTOLD_S


def _stopped(state: State, now: float, rule: Rule, until: float) -> State:
    """Nobody sends until then; then one after another, because there may be less than we think.

    The last word counts: a 429 that names a time comes after a reply of which we could only guess it.
    """
    sooner = min(0.0, until - state.blocked_until) if state.blocked_until > now else 0.0
    tat = max(state.tat + sooner, until + rule.tolerance)
    used = max(state.used, state.limit or rule.limit)
    return structs.replace(state, blocked_until=until, tat=tat, gap=0.0, end=until, used=used)


def _new_window(state: State, now: float, rule: Rule, used: int) -> State:
    """A window that we hear of for the first time. Who waits keeps its place, at the rule's own pace."""
    gap = _gap(state, now, rule)
    full = now + rule.tolerance
    tat = full + (state.tat - full) / gap * rule.gap if state.tat > full else state.tat
    state = structs.replace(state, tat=tat, gap=0.0, known=used, used=used)
    return structs.replace(state, end=now + rule.window, fresh_until=now + LATE_S)


def _counted(state: State, now: float, used: int) -> State:
    """Calls that we did not know of are others'; their pace is a mean that forgets."""
    fresh = max(0, used - state.known)
    others = state.others * math.exp((state.others_at - now) / MEMORY_S) + fresh / MEMORY_S
    return structs.replace(
        state,
        used=max(state.used, used),
        known=state.known + fresh,
        others=others,
        others_at=max(state.others_at, now),
    )


def _paced(state: State, now: float, rule: Rule, allowed: int) -> State:
    """Spread what is left of the window over the time that is left of it, less what others will take."""
    left = min(max(state.end - now, 1.0), rule.window)  # of a day's window, no more than an hour is planned
    remaining = allowed - state.used
    if remaining <= 0:
        return _stopped(state, now, rule, state.end)
    ours = max(remaining - rule.burst - state.others * left, remaining / 4)
    gap = max(rule.gap, left / ours)
    return structs.replace(state, gap=gap, tat=max(state.tat, now + rule.tolerance - ours * gap))


@dataclass(frozen=True)
class Look:
    """What the budget is at this moment."""

    #: Calls that may be sent at once.
    burst: int
    #: Calls an hour after those.
    an_hour: float
    #: Seconds that a call asked for now would wait.
    wait_s: float
    #: Seconds for which nobody sends, because the provider said so.
    blocked_s: float
    #: What the provider told in this window, None where it did not.
    limit: int | None
    remaining: int | None
    where: str = ""
    problem: str | None = None


def look(state: State, now: float, rule: Rule) -> Look:
    """The state as people read it. Nothing is taken."""
    wait = take(state, now, rule)[1]
    rule, told = rule.told(state.limit), state.limit if now < state.end else None
    gap = _gap(state, now, rule)
    free = (now + max(rule.tolerance, gap) - max(state.tat, now)) / gap
    blocked = max(0.0, state.blocked_until - now)
    return Look(
        burst=0 if blocked else max(0, math.floor(free + 1e-6)),
        an_hour=3600 / gap,
        wait_s=wait,
        blocked_s=blocked,
        limit=told,
        remaining=None if told is None else told - state.used,
    )


# --- the row as text ------------------------------------------------------------------------------------

_SIZE = 512
_DECODER = msgspec.json.Decoder(State)


def to_text(state: State) -> bytes:
    return msgspec.json.encode(state)


def from_text(text: bytes) -> State:
    """The state in a text; a new one when it makes no sense (nothing yet, damaged, another version's)."""
    try:
        state = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return State()
    sound = max(state.tat, state.blocked_until, state.end) <= state.seen + 30 * DAY_S
    return state if sound else State()


# --- the rows -------------------------------------------------------------------------------------------

Deed = Callable[[State, float], tuple[State, T]]


class Row(Protocol):
    """A state that can be changed in one step. `where` names it for people, without secrets."""

    where: str

    def change(self, deed: Deed[T]) -> T:
        """Replace the state by what the deed makes of it; its second result is the answer.

        A deed may be asked more than once. Raises OSError when the row cannot be used.
        """


#: Held while a row is changed: on NFS a file lock does not hold off the threads of one process.
_threads = threading.Lock()


def _after_fork() -> None:
    global _threads
    _threads = threading.Lock()  # the parent's other threads, one of which may hold it, are not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class MemoryRow:
    """The budget of this process alone."""

    where = "memory of this process"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.state = State()
        self._clock = clock

    def change(self, deed: Deed[T]) -> T:
        with _threads:
            self.state, answer = deed(*steady(self.state, self._clock()))
            return answer


class FileRow:
    """The budget of this machine, in a file.

    The file is opened for each change: so nothing is shared with a forked child, and one that was deleted is
    made again. A write is one system call into one page: a process that is killed leaves it whole.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.where = str(path)
        self._clock = clock

    def change(self, deed: Deed[T]) -> T:
        give_up = time.monotonic() + PATIENCE_S
        with _threads:
            while True:
                # Not a bare handle: an interrupt in between would leave it open.
                with _open(self.where) as file:
                    handle = file.fileno()
                    _lock(handle, give_up)
                    try:
                        if os.fstat(handle).st_nlink:  # else it was deleted before the lock was ours
                            return self._changed(handle, deed)
                    finally:
                        # Closing is not enough: a child forked in between has the file open too.
                        _unlock(handle)

    def _changed(self, handle: int, deed: Deed[T]) -> T:
        # The clock is read under the lock: read before, two processes would turn it back all the time.
        state, now = steady(from_text(os.read(handle, _SIZE)), self._clock())
        new, answer = deed(state, now)
        if new is not state:
            _overwrite(handle, to_text(new))
        return answer


def _overwrite(handle: int, text: bytes) -> None:
    line = text.ljust(_SIZE - 1) + b"\n"
    os.lseek(handle, 0, os.SEEK_SET)
    if os.write(handle, line) != len(line):
        raise OSError("the row was written in part")


def _open(path: str) -> io.FileIO:
    """The file of a row; made when it is not there."""
    try:
        return io.FileIO(path, "r+")
    except FileNotFoundError:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return io.FileIO(path, "r+", opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _lock(handle: int, give_up: float) -> None:
    while not _try_lock(handle):
        if time.monotonic() >= give_up:
            raise TimeoutError("another process holds the lock of the row")
        time.sleep(50e-6)  # a blocking lock wakes no sooner, but waits for ever for a suspended process


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, _SIZE, os.SEEK_SET)  # behind the text: Windows' locks hold off readers too
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _SIZE, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


#: Sets the row if it is still the one that was read; without a new one, reads. The time is the server's.
_SCRIPT = """
local now = redis.call('TIME')
local row = redis.call('GET', KEYS[1]) or ''
local done = 0
if ARGV[2] ~= '' and row == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', 172800)
  done = 1
end
return {done, row, now[1], now[2]}
"""


class RedisRow:
    """The budget of all machines that use the same Redis.

    The rule stays in Python, in one place: a change is read, made, and set if nobody was faster.
    """

    def __init__(self, url: Secret, key: str) -> None:
        self.where = _redis_name(url)
        self._url = url
        self._key = f"lcnb:budget:{key}"
        self._script: Any = None

    def change(self, deed: Deed[T]) -> T:
        give_up = time.monotonic() + REDIS_S
        _, row, now = self._ask(b"", b"")
        while True:
            state, at = steady(from_text(row), now)
            new, answer = deed(state, at)
            if new is state:
                return answer
            done, row, now = self._ask(row, to_text(new))
            if done:
                return answer
            if time.monotonic() >= give_up:
                raise TimeoutError("others change the row all the time")

    def _ask(self, old: bytes, new: bytes) -> tuple[bool, bytes, float]:
        if self._script is None:
            self._script = _redis_script(self._url)
        import redis

        try:
            done, row, seconds, micros = self._script(keys=[self._key], args=[old, new])
        except (redis.RedisError, ValueError, TypeError) as error:
            raise self._problem(error) from None
        return bool(done), row, int(seconds) + int(micros) / 1e6

    def _problem(self, error: Exception) -> OSError:
        if not isinstance(error, ValueError | TypeError):  # theirs may hold a part of the URL
            with contextlib.suppress(ValueError):
                password = Secret(unquote(urlsplit(self._url.reveal()).password or ""))
                return OSError(f"{type(error).__name__}: {mask(str(error), self._url, password)}")
        return OSError(type(error).__name__)


def _redis_script(url: Secret) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise OSError("the package redis is not installed; pip install 'lcnb[redis]'") from None
    retry = Retry(NoBackoff(), 1)  # once, for a connection that the server has closed meanwhile
    limits = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S}
    try:
        return redis.Redis.from_url(url.reveal(), retry=retry, **limits).register_script(_SCRIPT)
    except (ValueError, TypeError):  # their texts may hold a part of the URL
        raise OSError("its URL is not one of Redis; example: redis://host:6379/0") from None


def _redis_name(url: Secret) -> str:
    """The host and port of the URL; not when a password with a / or # may have been taken for them."""
    try:
        parts = urlsplit(url.reveal())
        host = parts.hostname if "@" not in parts.path + parts.query + parts.fragment else None
        return f"Redis at {host}:{parts.port or 6379}" if host else "Redis"
    except ValueError:
        return "Redis"


# --- what the wire uses ---------------------------------------------------------------------------------


@dataclass
class Budget:
    """The budget of a token, kept in the first of its rows that works; safe to use from several threads.

    When a row fails (disk full, no permission, Redis away) the next one goes on for a minute, with one warning
    in the log; `look().problem` tells of it as long as it lasts.
    """

    rows: tuple[Row, ...] = ()
    memory: MemoryRow = field(default_factory=MemoryRow)
    rule: Rule = field(default_factory=Rule)
    _resting: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def take(self, at_most: float = math.inf, *, again: bool = False) -> float | None:
        """Reserve a place: the seconds to wait before the call is sent, 0.0 for at once.

        None: it would take longer than `at_most` seconds (`look().wait_s` tells how long); nothing is reserved.
        After a wait, ask `again=True`: 0.0 as a rule, for the place is kept. Only when everybody was stopped
        meanwhile (a 429, a window that is used up) is it a new place, to be waited for.
        """

        def deed(state: State, now: float) -> tuple[State, float | None]:
            if again and state.blocked_until <= now:
                return state, 0.0
            new, wait = take(state, now, self.rule)
            return (new, wait) if wait <= at_most else (state, None)

        return self._change(deed)

    def heard(
        self,
        limit: int | None = None,
        remaining: int | None = None,
        reset_s: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """What a reply told: its rate headers, the seconds until the window ends, and a 429's `Retry-After`.

        A 429 that names no time is told as `retry_after=UNTOLD_S`; a Retry-After of another status is not told.
        """
        if limit is remaining is reset_s is retry_after is None:
            return

        def deed(state: State, now: float) -> tuple[State, None]:
            told = {"limit": limit, "remaining": remaining, "reset_s": reset_s, "retry_after": retry_after}
            return heard(state, now, self.rule, **told), None  # type: ignore[arg-type]

        self._change(deed)

    def look(self) -> Look:
        """What there is at this moment, where the row lives, and what is wrong with it. Takes nothing."""
        seen = self._change(lambda state, now: (state, look(state, now, self.rule)))
        where = next((row.where for row in self.rows if not self._rests(row)), self.memory.where)
        problem = "; ".join(text for _, text in self._resting.values()) or None
        return replace(seen, where=where, problem=problem)

    def _change(self, deed: Deed[T]) -> T:
        made = self.memory.state

        def noted(state: State, now: float) -> tuple[State, T]:
            nonlocal made
            made, answer = deed(state, now)
            return made, answer

        for row in self.rows:
            if self._rests(row):
                continue
            try:
                answer = row.change(noted)
            except OSError as error:
                self._rest(row, error)
            else:
                self._resting.pop(row.where, None)
                self.memory.state = made  # where this process goes on from if the row fails
                return answer
        return self.memory.change(deed)

    def _rests(self, row: Row) -> bool:
        return self._resting.get(row.where, (0.0, ""))[0] > time.monotonic()

    def _rest(self, row: Row, error: OSError) -> None:
        text = f"the rate budget in {row.where} cannot be used: {error.strerror or error}"
        self._resting[row.where] = (time.monotonic() + REST_S, text)
        if row.where not in self._warned:
            self._warned.add(row.where)
            logger.warning(
                "%s; calls of other processes with this token are no longer counted; "
                "only the provider's own limit holds",
                text,
            )


def open_budget(
    state_dir: Path,
    token: Secret,
    redis_url: str | Secret | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Budget:
    """The budget of a token: in Redis if there is one, else in the state folder. Nothing is opened yet."""
    key = budget_key(token)
    path = state_dir / f"budget-{key}.json"
    if not path.exists():
        _forget_old(state_dir)
    rows: list[Row] = [FileRow(path, clock)]
    if redis_url:
        rows.insert(0, RedisRow(redis_url if isinstance(redis_url, Secret) else Secret(redis_url), key))
    return Budget(tuple(rows), MemoryRow(clock))


def _forget_old(state_dir: Path) -> None:
    """Rows of tokens that nobody has used for days; sandboxes bring a new token each."""
    with contextlib.suppress(OSError):
        for path in state_dir.glob("budget-*.json"):
            if time.time() - path.stat().st_mtime > 2 * DAY_S:
                path.unlink()


def budget_key(token: Secret) -> str:
    """What a token's row is called: a hash, never the token."""
    return hashlib.sha256(b"lcnb-budget\0" + token.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:32]
