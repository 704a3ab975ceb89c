"""Faults of a sandbox, on purpose: a seeded script of rules, and the kinds of faults.

A script is JSON: `{"seed": 1, "rules": [{"kind": "lose-after", "method": "POST", "path": "/instances$",
"chance": 0.2}]}`. `FAULT_KINDS` describes each kind, `FAULT_PARAMETERS` lists its parameters. A rule may also have

- `method`: a regex for the whole method (`POST`, `PUT|DELETE`); any by default
- `path`: a regex searched in the path below `/api`, such as `^/instances$`; any by default
- `chance`: the probability of the fault, 0 to 1; 1 by default
- `nth`: only the nth matching request gets the fault, from 1
- `times`: the maximum number of faults

All given conditions must hold. When several rules apply to a request, the first one is used. Each rule counts its own
matching requests and has its own random numbers, so the same seed and the same requests meet the same faults.

There are four ways to set faults: `Sandbox(..., faults=Faults(...))`; `--faults FILE_OR_JSON`, in Python
`start(faults=...)`; `POST /_sandbox/faults` with a script while the sandbox runs (it replaces the script before, `{}`
ends it, GET returns it); and the header `X-Sandbox-Fault: error-after; status=500`, which replaces the script for one
request and does not count it. The token is checked before any fault. Only requests that reach the world count against
the rate limit. The control API below `/_sandbox/` has no faults.

Without a socket a fault is the reply's `fate`: `lost` (closed without a reply), `reset`, `truncated` (the body is
shorter than Content-Length), `stall` (silence for `seconds`) or `slow`: the caller waits `seconds` and then calls
`later()`, unless it has given up by then.

The log (`Sandbox.log`, `GET /_sandbox/log`) is the truth to compare with. An entry has `fault` when there was one,
`status` as it was answered (0: not at all), and for every write `committed`. A late write has no second entry: it
has `due`, in world seconds, until it is executed, and then either `committed_at` or the reason why the world `refused`
it. The same holds for a `slow` request that is executed later, also when the client has given up. A state file does not
contain late writes that are still due.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

Json = dict[str, Any]

FAULT_HEADER = "x-sandbox-fault"
EXAMPLE_SCRIPT = (
    '{"seed": 1, "rules": [{"kind": "lose-after", "method": "POST", "path": "/instances$", "chance": 0.2}]}'
)
READ_METHODS = ("GET", "HEAD", "OPTIONS")

#: Kinds and their effects. "Lost" means that the connection is closed without a reply.
FAULT_KINDS = {
    "lose-before": "the request never reaches the world; the reply is lost",
    "lose-after": "the request is executed; the reply is lost",
    "late": "the reply is lost at once, the request is executed `seconds` (of the world) later; writes only",
    "error-before": "a 5xx `status`, and nothing is executed",
    "error-after": "a 5xx `status`, though the request is executed",
    "reset": "TCP reset instead of a reply; executed only with `after`",
    "truncate": "executed; the connection ends in the middle of the reply's body",
    "stall": "no reply for `seconds` (real ones), then the connection is closed; executed only with `after`",
    "slow": "the reply comes after `seconds` (real ones; the provider's client waits 60 [go]). The request is "
    "executed `delay` seconds after the reply, or, with `after`, at once, before the wait",
    "html": "an HTML page of some `status` instead of the reply; executed only with `after`",
    "throttle": "429, with a Retry-After header if `retry_after` is given; nothing is executed",
    "lag": "the listing does not show machines made in the last `seconds` of the world; GET /instances only",
    "stuck": "executed, but its work never ends: the machine stays locked or unbuilt; writes only",
}
#: The parameters of each kind with their defaults.
FAULT_PARAMETERS: dict[str, Json] = {
    "lose-before": {},
    "lose-after": {},
    "late": {"seconds": 30.0},
    "error-before": {"status": 503},
    "error-after": {"status": 503},
    "reset": {"after": False},
    "truncate": {},
    "stall": {"seconds": 300.0, "after": False},
    "slow": {"seconds": 55.0, "after": False, "delay": 0.0},
    "html": {"status": 502, "after": False},
    "throttle": {"retry_after": None},
    "lag": {"seconds": 60.0},
    "stuck": {},
}
#: Kinds whose request is executed now; the request of another kind is executed when the rule has `after`.
EXECUTED_KINDS = ("lose-after", "error-after", "truncate", "lag", "stuck")
MATCH_PARAMETERS = ("method", "path", "chance", "nth", "times")

#: The check of each parameter: the expected value in words, and the test.
_PARAMETER_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "method": ("a regex", lambda value: isinstance(value, str)),
    "path": ("a regex", lambda value: isinstance(value, str)),
    "chance": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "nth": ("a whole number from 1", lambda value: _is_whole(value) and value >= 1),
    "times": ("a whole number from 1", lambda value: _is_whole(value) and value >= 1),
    "seconds": ("a number from 0 to 1e9", lambda value: _is_number(value) and 0 <= value <= 1e9),
    "delay": ("a number from 0 to 1e9", lambda value: _is_number(value) and 0 <= value <= 1e9),
    "after": ("true or false", lambda value: isinstance(value, bool)),
    "retry_after": ("seconds, or the header's text", lambda value: _is_retry_after(value)),
}
_STATUS_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "html": ("200, or 400 to 599", lambda value: _is_whole(value) and (value == 200 or 400 <= value <= 599)),
    "error": ("500 to 599", lambda value: _is_whole(value) and 500 <= value <= 599),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_retry_after(value: Any) -> bool:
    if isinstance(value, str):  # it becomes a header
        return value.isascii() and value.isprintable() and 0 < len(value) <= 100
    return _is_number(value) and 0 <= value <= 1e9


@dataclass(frozen=True)
class FaultRule:
    """One rule of a script: the fault, and the requests that get it. ValueError for a rule that is not valid."""

    kind: str
    method: str = ""
    path: str = ""
    chance: float = 1.0
    nth: int | None = None
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    retry_after: float | str | None = None
    after: bool | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; the faults are: {', '.join(FAULT_KINDS)}")
        for each in fields(self)[1:]:
            if getattr(self, each.name) is not None or each.default is not None:
                self._check(each.name, getattr(self, each.name))
        for name, value in FAULT_PARAMETERS[self.kind].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _check(self, name: str, value: Any) -> None:
        if name not in MATCH_PARAMETERS and name not in FAULT_PARAMETERS[self.kind]:
            raise _unknown_parameter(self.kind, name, (*MATCH_PARAMETERS, *FAULT_PARAMETERS[self.kind]))
        if name == "status":
            expected, holds = _STATUS_CHECKS["html" if self.kind == "html" else "error"]
        else:
            expected, holds = _PARAMETER_CHECKS[name]
        if not holds(value):
            raise ValueError(f"{self.kind}: {name} {value!r}: expected {expected}")
        if name in ("method", "path"):
            _check_regex(f"{self.kind}: {name} {value!r}", value)

    @classmethod
    def read(cls, document: Any) -> Self:
        """Return a rule from its JSON object."""
        if not isinstance(document, Mapping) or not isinstance(document.get("kind"), str):
            raise ValueError(f'expected an object with a "kind"; the kinds are: {", ".join(FAULT_KINDS)}')
        given = {name: value for name, value in document.items() if value is not None}  # null: not given
        kind, known = given["kind"], {each.name for each in fields(cls)}
        for name in given:
            if kind in FAULT_KINDS and name not in known:
                raise _unknown_parameter(kind, name, (*MATCH_PARAMETERS, *FAULT_PARAMETERS[kind]))
        return cls(**{name: value for name, value in given.items() if name in known})

    @classmethod
    def of_header(cls, text: str) -> Self:
        """Return a rule from the text of the header, such as `error-after; status=500`."""
        kind, *pairs = [part.strip() for part in text.split(";")]
        given: Json = {"kind": kind}
        for pair in filter(None, pairs):
            name, equals, value = pair.partition("=")
            name = name.strip().replace("-", "_").lower()
            if kind in FAULT_KINDS and name not in FAULT_PARAMETERS[kind]:
                raise _unknown_parameter(kind, name, tuple(FAULT_PARAMETERS[kind]))
            given[name] = _parse_value(value.strip()) if equals else True
        return cls.read(given)

    def given(self) -> Json:
        """Return the parameters of the rule as JSON, without its kind but with the defaults of the kind."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "kind" and getattr(self, each.name) != each.default
        }

    def fits(self, method: str, path: str) -> bool:
        """Whether this kind of fault is possible for such a request; a rule ignores other requests."""
        if self.kind == "lag":
            return (method, path) == ("GET", "/instances")
        return self.kind not in ("late", "stuck") or method not in READ_METHODS

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule applies to such a request; `path` is below `/api`."""
        if self.method and not re.fullmatch(self.method, method, re.IGNORECASE):
            return False
        return self.fits(method, path) and re.search(self.path, path) is not None

    @property
    def carried_out(self) -> bool:
        """Whether the request is executed now."""
        return self.kind in EXECUTED_KINDS or bool(self.after)


def _unknown_parameter(kind: str, name: str, known: tuple[str, ...]) -> ValueError:
    has = f"it has: {', '.join(known)}" if known else "it has none"
    return ValueError(f"the fault {kind!r} has no parameter {name!r}; {has}")


def _check_regex(what: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{what}: not a regex: {error}") from None


def _parse_value(text: str) -> Any:
    """Return a header's value: a number, true or false as in JSON, or else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@dataclass
class _RuleCount:
    """The matching requests of a rule, its faults so far, and its random numbers."""

    dice: random.Random
    met: int = 0
    struck: int = 0


class Faults:
    """A seeded script. It counts requests, so each sandbox needs a separate one."""

    def __init__(self, rules: Iterable[FaultRule | Mapping[str, Any]] = (), seed: int = 0) -> None:
        if not _is_whole(seed):
            raise ValueError(f"seed {seed!r}: expected a whole number")
        self.seed = seed
        self.rules = [_read_rule(position, rule) for position, rule in enumerate(rules)]
        self._tallies = [
            _RuleCount(random.Random(f"{seed}/{position}"))  # noqa: S311 - faults, not secrets
            for position in range(len(self.rules))
        ]

    def __repr__(self) -> str:
        return f"Faults.read({self.script()!r})"

    @classmethod
    def read(cls, script: Faults | Mapping[str, Any] | str | os.PathLike[str] | None) -> Faults:
        """Return a script from JSON, its text, or the name of a file. ValueError says what is wrong."""
        if script is None or isinstance(script, Faults):
            return script or cls()
        if isinstance(script, Mapping):
            return cls._of_document(script)
        text = os.fspath(script)
        if text.lstrip().startswith("{"):  # a file name does not
            return cls.of_json(text)
        try:
            return cls.of_json(Path(text).read_bytes())
        except OSError as error:
            raise ValueError(
                f"{text!r}: {error.strerror}; expected a file, or JSON: {EXAMPLE_SCRIPT}"
            ) from None
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None

    @classmethod
    def of_json(cls, text: str | bytes) -> Faults:
        """Return a script from its JSON text."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from None
        return cls._of_document(document)

    @classmethod
    def _of_document(cls, document: Any) -> Faults:
        if not isinstance(document, Mapping):
            raise ValueError(f"expected an object such as {EXAMPLE_SCRIPT}")
        for name in document:
            if name not in ("seed", "rules"):
                raise ValueError(f"a script has no {name!r}; it has: seed, rules")
        rules = document.get("rules", [])
        if not isinstance(rules, list | tuple):
            raise ValueError(f"rules {rules!r}: expected a list")
        return cls(rules, document.get("seed", 0))

    def script(self) -> Json:
        """Return the script as JSON that `read` accepts."""
        return {"seed": self.seed, "rules": [{"kind": rule.kind, **rule.given()} for rule in self.rules]}

    def decide(self, method: str, path: str) -> FaultRule | None:
        """Return the rule whose fault this request gets, or None; `path` is below `/api`."""
        chosen = None
        for rule, tally in zip(self.rules, self._tallies, strict=True):
            if rule.matches(method, path):
                tally.met += 1
                # Drawn for every matching request, so that the result depends only on the count.
                drawn = tally.dice.random() < rule.chance
                if chosen is None and drawn and _is_due(rule, tally):
                    tally.struck += 1
                    chosen = rule
        return chosen


def _is_due(rule: FaultRule, tally: _RuleCount) -> bool:
    return rule.nth in (None, tally.met) and (rule.times is None or tally.struck < rule.times)


def _read_rule(position: int, rule: FaultRule | Mapping[str, Any]) -> FaultRule:
    try:
        return rule if isinstance(rule, FaultRule) else FaultRule.read(rule)
    except ValueError as error:
        raise ValueError(f"rules[{position}]: {error}") from None
