"""What the read-only runbooks work out: balance, prices, keys, health. No call is made here but TCP connects.

Each function takes the frames of a client as they are, of an empty account and with holes too, and gives
frames whose columns and dtypes do not depend on the rows. Currencies are never added up or converted. What
the API does not tell is told as not known, never guessed.
"""

from __future__ import annotations

import errno
import math
import re
import socket
import time
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from lcnb.api.models import CURRENCY_SYMBOLS, Profile
from lcnb.display import charts
from lcnb.errors import InputError
from lcnb.flags import checked_flag

#: Prices are a month; the provider charges by the hour, 730 of them a month (an assumption).
DAYS_A_MONTH = 730 / 24
#: A projection reaches no further than this.
MOST_DAYS = 365


def holds(text: str, bad: pd.Series[Any]) -> tuple[bool, str]:
    """For `lcnb.run().check`: whether something holds, which is not so for some labels; and the sentence of it."""
    return not len(bad), f"{text}{f' (not so for {named(bad)})' if len(bad) else ''}."


def named(labels: Iterable[Any], most: int = 5) -> str:
    """`3: web-01, web-02, db-01` for a sentence; what has no label is `(no label)`, the rest is counted.

    >>> named(["a", None]), named("abcdefg", most=2), named([])
    ('2: a, (no label)', '7: a, b and 5 more', 'none')
    """
    texts = [str(label) if _known(label) else "(no label)" for label in labels]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{len(texts)}: {', '.join(texts[:most])}{more}" if texts else "none"


def _known(value: Any) -> bool:
    return not pd.isna(value)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _frame(rows: Sequence[dict[str, Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    """The same columns and dtypes for any number of rows."""
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=dtype) for name, dtype in dtypes.items()}
    )


def pictures(parts: Iterable[tuple[pd.Series[Any], str, str]]) -> charts.Html:
    """Bars of money for each (amounts, title, currency code), one picture each."""
    drawn = [
        charts.barh(amounts, title, unit=f"{code} a month", decimals=2) for amounts, title, code in parts
    ]
    return _joined(drawn, "There is nothing to show.")


def _joined(drawn: Sequence[charts.Html], empty: str) -> charts.Html:
    if not drawn:
        return charts.table(pd.DataFrame(), empty=empty)
    return charts.Html.joined(drawn, "\n".join(map(repr, drawn)))


# --- balance_runway -------------------------------------------------------------------------------------


def spend(fleet: pd.DataFrame) -> pd.DataFrame:
    """What an inventory costs, one row a currency; machines without a price have a last row without money.

    Columns: currencycode, machines, running (`Int64`), a_day, monthly_value, not_running (`Float64`;
    the last is the part of `monthly_value` that is for machines which are not running).
    """
    dtypes = {
        "currencycode": "str",
        "machines": "Int64",
        "running": "Int64",
        "a_day": "Float64",
        "monthly_value": "Float64",
        "not_running": "Float64",
    }
    priced = fleet[_priced(fleet)]
    rows = [_spent(str(code), part) for code, part in priced.groupby("currencycode")]
    rows.sort(key=lambda row: -row["machines"])
    left = fleet[~_priced(fleet)]
    if len(left):
        rows.append({"machines": len(left), "running": _running(left)})
    return _frame(rows, dtypes)


def _priced(fleet: pd.DataFrame) -> pd.Series[bool]:
    return (fleet.monthly_value.notna() & fleet.currencycode.notna()).astype(bool)


def _running(fleet: pd.DataFrame) -> int:
    return int((fleet.state == "running").sum())


def _spent(code: str, part: pd.DataFrame) -> dict[str, Any]:
    total = float(part.monthly_value.sum())
    return {
        "currencycode": code,
        "machines": len(part),
        "running": _running(part),
        "a_day": total / DAYS_A_MONTH,
        "monthly_value": total,
        "not_running": float(part[(part.state != "running").fillna(True)].monthly_value.sum()),
    }


@dataclass(frozen=True)
class Runway:
    """How long a prepaid balance lasts at what the machines cost now.

    `days` is None when it cannot be told (`unknown` says why), `inf` when nothing is charged. `at_most` names
    what is charged too and could not be counted: with any, the balance ends earlier than `days` says.
    """

    currencycode: str | None
    balance: float | None
    monthly_value: float
    days: float | None
    unknown: str = ""
    at_most: tuple[str, ...] = ()

    @property
    def a_day(self) -> float:
        """What a day costs, in the account's currency."""
        return self.monthly_value / DAYS_A_MONTH

    def marks(self, now: datetime, days: float) -> dict[str, datetime]:
        """What a picture of the projection points at: when it is gone, and the day it should reach."""
        end = self.ends(now)
        return {f"in {days:g} days": now + timedelta(days=days)} | (
            {f"gone on {end.day} {end:%b %Y}": end} if end and (end - now).days < MOST_DAYS else {}
        )

    @property
    def days_text(self) -> str:
        """`12.4`, `at most 12.4`, `unlimited`, or `not known`."""
        if self.days is None:
            return "not known"
        if math.isinf(self.days):
            return "unlimited"
        return f"{'at most ' if self.at_most and self.days else ''}{self.days:,.1f}"

    def lasts(self, days: float) -> bool:
        """Whether it is known to last so many days."""
        return self.days is not None and self.days >= days

    def missing(self, days: float) -> float | None:
        """How much must be added to last so many days at the cost that is known; None when nothing is known."""
        if self.days is None or self.balance is None or math.isinf(self.days):
            return 0.0 if self.days is not None else None
        return max(0.0, self.a_day * days - self.balance)

    def ends(self, now: datetime) -> datetime | None:
        """When the balance is gone; None when never, not known, or not within the years that dates reach."""
        if self.days is None or self.days > 365 * 100:
            return None
        return now + timedelta(days=self.days)


def runway(profile: Profile, fleet: pd.DataFrame, *, prepaid: bool = True) -> Runway:
    """How long the balance of `profile` lasts for the machines of an inventory.

    Machines that are off or suspended are counted: they are not known to be free. The API does not tell
    whether an account is prepaid; where it is not, its balance is no limit and nothing can be told.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> runway(lc.profile(), lc.inventory()).currencycode
    'USD'
    """
    prepaid = checked_flag("prepaid", prepaid, "Nothing was computed.")
    code = _code(profile.currency)
    priced = fleet[_priced(fleet)]
    own = priced[priced.currencycode == code] if code else priced.iloc[:0]
    monthly = float(own.monthly_value.sum())

    def found(days: float | None, unknown: str = "", at_most: tuple[str, ...] = ()) -> Runway:
        return Runway(code, profile.balance, monthly, days, unknown, at_most)

    if not prepaid:
        return found(None, "the account is post-paid, so its balance is no limit")
    if not len(fleet):
        return found(math.inf)
    if profile.balance is None:
        return found(None, "the account does not tell its balance")
    if profile.balance <= 0:
        return found(0.0)
    if code is None:
        return found(None, f"the account's currency is {profile.currency or 'not told'}")
    at_most = _not_counted(fleet, code)
    if monthly <= 0:
        if at_most:
            return found(None, f"no machine has a price in {code} ({'; '.join(at_most)})")
        return found(math.inf)
    return found(profile.balance / (monthly / DAYS_A_MONTH), at_most=at_most)


def _code(symbol: str | None) -> str | None:
    codes = {symbol: code for code, symbol in CURRENCY_SYMBOLS.items()} | {
        code: code for code in CURRENCY_SYMBOLS
    }
    return codes.get((symbol or "").strip().upper())


def _not_counted(fleet: pd.DataFrame, code: str) -> tuple[str, ...]:
    """What is charged beside the account's own currency, in words."""
    costs = spend(fleet)
    words = []
    for row in _records(costs[(costs.currencycode != code).fillna(True)]):
        count = f"{row['machines']} machine{'s' if row['machines'] != 1 else ''}"
        if _known(row["currencycode"]):
            words.append(f"{row['monthly_value']:,.2f} {row['currencycode']} a month for {count}")
        else:
            words.append(f"{count} without a known price")
    return tuple(words)


def runway_note(found: Runway, days: float, now: datetime) -> charts.Html:
    """What it means, in words: when the balance is gone, what is missing for `days`, what was not counted."""
    end, missing = found.ends(now), found.missing(days)
    words = []
    if found.days is None:
        words.append(f"How long the balance lasts cannot be told: {found.unknown}.")
    elif found.days == 0:
        words.append(
            "The balance is gone: the provider disables all machines, and terminates them. Pay in now."
        )
    elif math.isinf(found.days):
        words.append("Nothing is charged at present, so the balance does not go down.")
    elif end is None:
        words.append("At this rate the balance lasts for more than a hundred years.")
    else:
        words.append(f"At this rate the balance is gone on {end:%A}, {end.day} {end:%B %Y, %H:%M} UTC.")
    if missing:
        words.append(
            f"To last {days:g} days it needs {charts.money(missing, found.currencycode or '')} more."
        )
    if found.at_most:
        words.append(f"It is gone earlier than that, since this is not counted: {'; '.join(found.at_most)}.")
    return charts.note(" ".join(words))


def projection(found: Runway, now: datetime, days: float) -> pd.DataFrame:
    """The balance day by day from `now`, until a while after `days` or after its end, a year at the most.

    Columns: at (UTC), balance (`Float64`, the account's currency), never below 0. No row when the runway is
    not known or unlimited. The moment when the balance is gone has a row of its own.
    """
    if found.days is None or found.balance is None or math.isinf(found.days):
        return pd.DataFrame({"at": pd.Series(dtype="datetime64[us, UTC]"), "balance": _no_money()})
    length = min(MOST_DAYS, max(days, found.days) * 1.15)
    steps = sorted({*range(math.ceil(length) + 1), *([found.days] if found.days < length else [])})
    rows = {
        "at": pd.Series([now + timedelta(days=step) for step in steps]).astype("datetime64[us, UTC]"),
        "balance": pd.Series(
            [max(0.0, found.balance - found.a_day * step) for step in steps], dtype="Float64"
        ),
    }
    return pd.DataFrame(rows)


def _no_money() -> pd.Series[Any]:
    return pd.Series(dtype="Float64")


# --- price_compare --------------------------------------------------------------------------------------

SIZE = ["core", "memory", "disk"]
OFFERS = {
    "currencycode": "str",
    "size": "str",
    "plan": "str",
    "core": "Int64",
    "memory": "Int64",
    "disk": "Int64",
    "bandwidth": "Int64",
    "location": "str",
    "city": "str",
    "country": "str",
    "available": "boolean",
    "monthly_value": "Float64",
    "left_out": "str",
}


def offers(plans: pd.DataFrame, locations: pd.DataFrame) -> pd.DataFrame:
    """Each plan at each location with its price, and in `left_out` why it cannot be compared (else missing).

    Columns as `OFFERS` says: memory in MB, disk and bandwidth in GB, `available` of the location (missing
    where it is not told).

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> offers(lc.plans(), lc.locations()).query("location == 'LON1'").available.unique().tolist()
    [False]
    """
    places = {str(row["slug"]).upper(): row for row in _records(locations) if _known(row["slug"])}
    return _frame([_offer(row, places) for row in _records(plans)], OFFERS)


def _offer(plan: dict[str, Any], places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    place = places.get(str(plan["location"]).upper(), {})
    holes = [name for name in (*SIZE, "location", "currencycode") if not _known(plan[name])]
    price = plan["monthly_value"]
    if holes:
        reason = f"not told: {', '.join(holes)}"
    elif not _known(price):
        reason = "it has no price"
    elif price <= 0:
        reason = f"its price is {price:.2f}"
    else:
        reason = None
    size = None if any(not _known(plan[name]) for name in SIZE) else size_text(*(plan[name] for name in SIZE))
    return {**plan, **{n: place.get(n) for n in ("city", "country", "available")}} | {
        "plan": plan["slug"],
        "size": size,
        "left_out": reason,
    }


def size_text(core: int, memory: int, disk: int) -> str:
    """A size as people read it.

    >>> size_text(2, 4096, 30)
    '2 CPU, 4 GB, 30 GB disk'
    """
    return f"{core} CPU, {memory / 1024:g} GB, {disk} GB disk"


def cheapest(offered: pd.DataFrame) -> pd.DataFrame:
    """One row a currency and size: where it costs least, and how much more it costs where it costs most.

    Only locations count where machines can be made; where that is not told, they count. A size that no such
    location offers has its prices missing. Columns: currencycode, size, plan, places, cheapest_at,
    monthly_value, dearest_at, dearest_value, difference_percent.
    """
    dtypes = {
        "currencycode": "str",
        "size": "str",
        "plan": "str",
        "places": "Int64",
        "cheapest_at": "str",
        "monthly_value": "Float64",
        "dearest_at": "str",
        "dearest_value": "Float64",
        "difference_percent": "Float64",
    }
    rows = []
    for (code, *_), part in _comparable(offered).groupby(["currencycode", *SIZE]):
        open_ones = part[_open(part)]
        row: dict[str, Any] = {
            "currencycode": code,
            "size": part["size"].iloc[0],
            "plan": ", ".join(sorted(set(part["plan"].dropna()))) or None,
            "places": int(open_ones.location.nunique()),
        }
        if len(open_ones):
            least, most = float(open_ones.monthly_value.min()), float(open_ones.monthly_value.max())
            row |= {
                "cheapest_at": _at(open_ones, least),
                "monthly_value": least,
                "dearest_at": _at(open_ones, most) if most > least else None,
                "dearest_value": most if most > least else None,
                "difference_percent": 100 * (most / least - 1) if most > least else None,
            }
        rows.append(row)
    return _frame(rows, dtypes)


def _comparable(offered: pd.DataFrame) -> pd.DataFrame:
    """Once for each currency, size and location: the lower price, where there are two."""
    rows = offered[offered.left_out.isna()].sort_values("monthly_value", kind="stable")
    return rows.drop_duplicates(["currencycode", *SIZE, "location"])


def _open(offered: pd.DataFrame) -> pd.Series[bool]:
    return offered.available.fillna(True).astype(bool)


def _at(offered: pd.DataFrame, price: float) -> str:
    return ", ".join(sorted(offered[offered.monthly_value == price].location))


def price_matrix(offered: pd.DataFrame, currencycode: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices of one currency, a row a size and a column a location, and which of them are the cheapest.

    The second frame has the same rows and columns: True where no location that can be used is cheaper. A
    location where no machine can be made is named so in its column's head, and is never True.
    """
    here = _comparable(offered)
    here = here[here.currencycode == currencycode].copy()
    here["place"] = here.location.where(_open(here), here.location + " (closed)")
    sizes = here.sort_values(SIZE)["size"].drop_duplicates()
    places = here.sort_values("location").place.drop_duplicates()

    def table(values: str, rows: pd.DataFrame) -> pd.DataFrame:
        wide = rows.pivot_table(index="size", columns="place", values=values, aggfunc="min")
        wide = wide.reindex(index=pd.Index(sizes, name="size"), columns=pd.Index(places))
        return wide.rename_axis(columns=None).astype("Float64")

    prices = table("monthly_value", here)
    candidates = table("monthly_value", here[_open(here)])
    least = candidates.min(axis=1)
    return prices, candidates.eq(least, axis=0).fillna(False).astype(bool)


def price_tables(offered: pd.DataFrame) -> charts.Html:
    """The price matrix of each currency as a table, the cheapest places marked."""
    drawn = []
    for code in currencies(offered):
        prices, marked = price_matrix(offered, code)
        drawn.append(charts.table(prices, mark=marked, caption=f"{code} a month"))
    return _joined(drawn, "There are no prices to compare.")


def currencies(offered: pd.DataFrame) -> list[str]:
    """The currencies of the offers that can be compared."""
    return sorted(offered[offered.left_out.isna()].currencycode.unique())


def closed(offered: pd.DataFrame) -> list[str]:
    """The locations where no machine can be made now."""
    return sorted(offered[~_open(offered)].location.dropna().unique())


def closed_note(offered: pd.DataFrame) -> charts.Html:
    """Which locations are closed, or not told to be open, in words."""
    places = closed(offered)
    silent = sorted(offered[offered.available.isna()].location.dropna().unique())
    words = []
    if places:
        words.append(
            f"No machine can be made at {', '.join(places)} now: prices there are shown and never marked."
        )
    if silent:
        words.append(
            f"Whether one can be made at {', '.join(silent)} is not told; they are taken to be open."
        )
    if not len(offered):
        words.append("There is no plan to compare.")
    return charts.note(" ".join(words) or "Machines can be made at every location.")


def basket(offered: pd.DataFrame, currencycode: str) -> tuple[pd.Series[Any], int]:
    """What one machine of each size costs at each open location, of the sizes that all of those offer.

    Gives the sums by location, cheapest first, and the number of sizes. Both are empty where nothing can be
    compared: fewer than two locations, or no size that all of them have.
    """
    here = _comparable(offered)
    here = here[(here.currencycode == currencycode) & _open(here)]
    wide = here.pivot_table(index=SIZE, columns="location", values="monthly_value", aggfunc="min").dropna()
    if wide.shape[1] < 2 or not len(wide):
        return pd.Series(dtype="float64"), 0
    return wide.sum().astype("float64").sort_values(kind="stable"), len(wide)


def fitting(offered: pd.DataFrame, cpus: int, memory_gb: float, disk_gb: int, most: int = 5) -> pd.DataFrame:
    """The cheapest offers with at least so much, `most` of each currency, at locations that can be used."""
    here = _comparable(offered)
    fits = (here.core >= cpus) & (here.memory >= memory_gb * 1024) & (here.disk >= disk_gb)
    order = ["currencycode", "monthly_value", "core", "memory", "disk", "location"]
    found = here[fits & _open(here)].sort_values(order, kind="stable")
    columns = ["currencycode", "monthly_value", "plan", "core", "memory", "disk", "location", "city"]
    return found.groupby("currencycode").head(most)[columns].reset_index(drop=True)


# --- key_audit ------------------------------------------------------------------------------------------

#: The kinds that the provider's own tools take.
ACCEPTED = ("ssh-rsa", "ssh-ed25519")
#: What a key can be, the worst first; a key has the first that holds, and all of its findings.
VERDICTS = ("exposed", "unreadable", "weak", "duplicate", "odd", "ok")
#: Verdict → what should hold of all keys.
KEY_CHECKS = {
    "exposed": "No key of the account holds a private key",
    "unreadable": "Every key can be read",
    "weak": "No key is weak",
    "duplicate": "No key or title is there twice",
    "odd": "No key has an odd shape or title",
}
KEYS = {
    "title": "str",
    "slug": "str",
    "verdict": "str",
    "type": "str",
    "bits": "Int64",
    "fingerprint": "str",
    "comment": "str",
    "findings": "str",
}
_KIND = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[\w@.-]+)\s")


@dataclass(frozen=True)
class _Key:
    """One public key as it was read: what it is, and what is wrong with it, by verdict."""

    type: str | None = None
    bits: int | None = None
    fingerprint: str | None = None
    comment: str | None = None
    findings: tuple[tuple[str, str], ...] = ()


def audit_keys(keys: pd.DataFrame, min_rsa_bits: int = 2048) -> pd.DataFrame:
    """Each ssh key with its type, length, SHA256 fingerprint, and what is wrong with it.

    Columns as `KEYS` says. `verdict` is one of `VERDICTS`; `findings` is missing for a key that is ok. The
    texts of the keys are not in it: one may hold a private key by mistake.

    >>> import lcnb
    >>> audit_keys(lcnb.connect(sandbox=True).sshkeys()).verdict.tolist()
    ['ok', 'ok', 'ok']
    """
    records = _records(keys)
    read = [_read_key(row["public_key"], min_rsa_bits) for row in records]
    by_key = _groups(key.fingerprint for key in read)
    by_title = _groups(_folded(row["title"]) for row in records)
    names = [_name(row) for row in records]
    rows = []
    for number, (row, key) in enumerate(zip(records, read, strict=True)):
        same = [names[other] for other in by_key.get(key.fingerprint, ()) if other != number]
        twins = [names[other] for other in by_title.get(_folded(row["title"]), ()) if other != number]
        findings = [
            *key.findings,
            *([("duplicate", f"the same key as {', '.join(same)}")] if same else []),
            *([("duplicate", f"the same title as {', '.join(twins)}")] if twins else []),
            *_title_findings(row["title"]),
        ]
        verdict = min((kind for kind, _ in findings), key=VERDICTS.index, default="ok")
        rows.append(
            {name: row.get(name) for name in ("title", "slug")}
            | {name: getattr(key, name) for name in ("type", "bits", "fingerprint", "comment")}
            | {"verdict": verdict, "findings": "; ".join(text for _, text in findings) or None}
        )
    return _frame(rows, KEYS)


def _groups(values: Iterable[str | None]) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for number, value in enumerate(values):
        if value is not None:
            found.setdefault(value, []).append(number)
    return found


def _folded(title: Any) -> str | None:
    return " ".join(str(title).split()).casefold() if _known(title) else None


def _name(row: dict[str, Any]) -> str:
    return next((str(row[name]) for name in ("slug", "title") if _known(row[name])), "one without a name")


def _title_findings(title: Any) -> list[tuple[str, str]]:
    if not _known(title) or not str(title).strip():
        return [("odd", "it has no title: nobody can tell whose it is")]
    if str(title) != " ".join(str(title).split()) or not str(title).isprintable():
        return [("odd", "its title has odd white space or signs that cannot be seen")]
    return []


def _read_key(text: Any, min_rsa_bits: int) -> _Key:
    if not _known(text) or not str(text).strip():
        return _Key(findings=(("unreadable", "no public key is told"),))
    lines = str(text).strip().splitlines()
    if "PRIVATE KEY" in str(text).upper():
        return _Key(findings=(("exposed", "a private key stands where the public one belongs: replace it"),))
    if lines[0].startswith("---"):
        return _Key(findings=(("unreadable", "it is not in OpenSSH form (one line: type, key, comment)"),))
    key = _parse(lines[0].strip(), min_rsa_bits)
    if len([line for line in lines if line.strip()]) > 1:
        more = ("odd", "it has several lines, only the first was read")
        return _Key(key.type, key.bits, key.fingerprint, key.comment, (*key.findings, more))
    return key


def _parse(line: str, min_rsa_bits: int) -> _Key:
    """One line in OpenSSH form; options before the type are told, and left out."""
    kind = _KIND.search(f" {line} ")
    if kind is None:
        return _Key(findings=(("unreadable", "it names no type of key, such as ssh-ed25519"),))
    start = line.index(kind[1])
    words = line[start:].split(None, 2)
    findings = [("odd", "options stand before the type")] if start else []
    comment = words[2] if len(words) > 2 else None
    try:
        bits, fingerprint = _material(" ".join(words[:2]))
    except Exception as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        findings.insert(0, ("unreadable", f"the key is damaged or of an unknown type ({reason})"))
        return _Key(words[0], None, None, comment, tuple(findings))
    return _Key(words[0], bits, fingerprint, comment, (*_strength(words[0], bits, min_rsa_bits), *findings))


def _material(text: str) -> tuple[int, str]:
    """Bits and SHA256 fingerprint, as `ssh-keygen -l` tells them."""
    from cryptography.hazmat.primitives import hashes, serialization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that DSA is deprecated is told as a finding
        key = serialization.load_ssh_public_key(text.encode())
        fingerprint = serialization.ssh_key_fingerprint(key, hashes.SHA256())
    bits = int(getattr(key, "key_size", 256))  # an ed25519 key has one size
    return bits, "SHA256:" + b64encode(fingerprint).decode().rstrip("=")


def _strength(kind: str, bits: int, min_rsa_bits: int) -> list[tuple[str, str]]:
    if kind == "ssh-dss":
        return [("weak", "DSA keys are broken, and no current OpenSSH takes one")]
    if kind == "ssh-rsa" and bits < min_rsa_bits:
        return [("weak", f"RSA with {bits} bits, fewer than {min_rsa_bits}")]
    if kind not in ACCEPTED:
        return [("odd", f"{kind} is not among the types that the provider is known to take")]
    return []


# --- health_watch ---------------------------------------------------------------------------------------

UNSETTLED = ("building", "busy")
WATCHED = {
    "label": "str",
    "hostname": "str",
    "location": "str",
    "ipv4": "str",
    "ipv6": "str",
    "state": "str",
    "first_state": "str",
    "looks": "Int64",
    "unsettled_s": "Float64",
    "all_along": "boolean",
}


def watch(
    read: Callable[[], pd.DataFrame],
    watch_s: float,
    every_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> pd.DataFrame:
    """Look at the machines again and again for `watch_s` seconds, and tell what each was seen to be.

    The API tells no times, so this is the only way to know how long something takes: `unsettled_s` is how
    long a machine was seen building or busy without a break up to the last look, and `all_along` says that it was
    so at every look, of which there were at least two. It ends early once nothing is unsettled. Columns as
    `WATCHED` says; `state` is `gone` for a machine that the last look did not show.
    """
    if every_s <= 0:
        raise InputError(f"every_s: {every_s:g} is not a number of seconds above 0")
    start = clock()
    looks = [_look(read())]
    times = [0.0]
    while _pending(looks) and clock() - start < watch_s:
        sleep(min(every_s, max(0.0, watch_s - (clock() - start))))
        looks.append(_look(read()))
        times.append(clock() - start)
    keys = list(dict.fromkeys(key for look in looks for key in look))
    return _frame([_history(key, looks, times) for key in keys], WATCHED)


_Look = dict[tuple[str, int], dict[str, Any]]


def _look(machines: pd.DataFrame) -> _Look:
    """The machines by what stays the same while one builds: label and host name. Twins are numbered."""
    found: _Look = {}
    met: dict[str, int] = {}
    for row in _records(machines):
        key = "\0".join(str(row[name]) for name in ("label", "hostname") if _known(row[name]))
        key = key or str(row["identifier"])
        met[key] = met.get(key, 0) + 1
        found[key, met[key]] = row
    return found


def _pending(looks: Sequence[_Look]) -> bool:
    """Whether any machine was building or busy at all looks so far."""
    return any(all(_unsettled(look.get(key)) for look in looks) for key in looks[0])


def _unsettled(row: dict[str, Any] | None) -> bool:
    return row is not None and _known(row["state"]) and row["state"] in UNSETTLED


def _history(key: tuple[str, int], looks: Sequence[_Look], times: Sequence[float]) -> dict[str, Any]:
    seen = [(moment, look.get(key)) for moment, look in zip(times, looks, strict=True)]
    rows = [row for _, row in seen if row is not None]
    since = None
    for moment, row in seen:
        since = (moment if since is None else since) if _unsettled(row) else None
    latest = rows[-1] if seen[-1][1] is not None else {**rows[-1], "state": "gone"}
    return latest | {
        "first_state": rows[0]["state"],
        "looks": len(rows),
        "unsettled_s": 0.0 if since is None else times[-1] - since,
        "all_along": since == times[0] and len(looks) > 1,
    }


REACHED = {
    "label": "str",
    "location": "str",
    "address": "str",
    "port": "Int64",
    "outcome": "str",
    "milliseconds": "Float64",
}
#: What a connect can come to; the first is the good one.
OUTCOMES = ("open", "refused", "no answer", "no address", "no way from here")
_HERE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM, errno.EMFILE)

Connect = Callable[[tuple[str, int], float], Any]


def reach(
    machines: pd.DataFrame,
    ports: Sequence[int],
    timeout_s: float,
    *,
    at_once: int = 64,
    connect: Connect = socket.create_connection,
) -> pd.DataFrame:
    """Connect by TCP to each port of each running machine, many at once, and hang up: a row a port.

    The first IPv4 address is asked, the IPv6 one where there is none. Outcomes: `open`; `refused` (the
    machine answers, nothing listens); `no answer` within `timeout_s`; `no address`; `no way from here` (this
    computer has no network that leads there, which says nothing about the machine). Nothing is sent. Columns
    as `REACHED` says. InputError for a port outside 1 to 65535.
    """
    odd = [port for port in ports if isinstance(port, bool) or port not in range(1, 65536)]
    if odd:
        raise InputError(f"ports: {odd[0]!r} is not a TCP port, which is a whole number from 1 to 65535")
    asked = [
        {"label": row["label"], "location": row["location"], "address": _address(row), "port": port}
        for row in _records(machines[(machines.state == "running").fillna(False)])
        for port in dict.fromkeys(ports)
    ]

    def ask(row: dict[str, Any]) -> dict[str, Any]:
        if row["address"] is None:
            return {**row, "outcome": "no address"}
        start = time.perf_counter()
        outcome = _connected(connect, (row["address"], row["port"]), timeout_s)
        took = (time.perf_counter() - start) * 1000 if outcome in ("open", "refused") else None
        return {**row, "outcome": outcome, "milliseconds": took}

    if not asked:
        return _frame([], REACHED)
    with ThreadPoolExecutor(min(at_once, len(asked))) as pool:
        return _frame(list(pool.map(ask, asked)), REACHED)


def _address(row: dict[str, Any]) -> str | None:
    return next((str(row[name]) for name in ("ipv4", "ipv6") if _known(row[name])), None)


def _connected(connect: Connect, place: tuple[str, int], timeout_s: float) -> str:
    try:
        connect(place, timeout_s).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return "refused"
    except OSError as error:
        return "no way from here" if error.errno in _HERE else "no answer"
    return "open"


def reach_summary(reached: pd.DataFrame) -> pd.DataFrame:
    """Ports by outcome, a row a port: how many machines came to which; outcomes that nobody has are left out."""
    counts = reached.pivot_table(
        index="port", columns="outcome", values="address", aggfunc="size", fill_value=0
    )
    counts = counts.reindex(columns=[each for each in OUTCOMES if each in counts])
    return counts.rename(index=lambda port: f"port {port}")


HEALTH = {
    "label": "str",
    "state": "str",
    "location": "str",
    "concern": "str",
    "tcp": "str",
    "reached": "boolean",
    "unsettled_s": "Float64",
}


def health(watched: pd.DataFrame, reached: pd.DataFrame) -> pd.DataFrame:
    """One row a machine with what is wrong with it in `concern` (missing when nothing is).

    Columns as `HEALTH` says: `tcp` tells each port's outcome, `reached` whether all were open (missing where
    none was asked, or from here none can be).
    """
    outcomes: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in _records(reached):
        outcomes.setdefault(_machine(row, row["address"]), []).append((row["port"], row["outcome"]))
    rows = []
    for row in _records(watched):
        asked = outcomes.get(_machine(row, _address(row)), []) if row["state"] == "running" else []
        bad = [(port, outcome) for port, outcome in asked if outcome in OUTCOMES[1:4]]
        from_here = [outcome for _, outcome in asked if outcome != OUTCOMES[4]]
        concerns = [*_concerns(row), *(f"port {port}: {outcome}" for port, outcome in bad)]
        rows.append(
            row
            | {
                "concern": "; ".join(concerns) or None,
                "tcp": ", ".join(f"{port} {outcome}" for port, outcome in asked) or None,
                "reached": not bad if from_here else None,
            }
        )
    return _frame(rows, HEALTH)


def _machine(row: dict[str, Any], address: Any) -> tuple[str, str]:
    return str(row["label"]), str(address) if _known(address) else ""


def _concerns(row: dict[str, Any]) -> list[str]:
    if not _known(row["state"]):
        return ["its state is not told"]
    if row["state"] == "suspended":
        return ["suspended by the provider"]
    if row["all_along"]:
        return [f"{row['state']} at each of {row['looks']} looks in {row['unsettled_s']:.0f} s"]
    return []


def concerns(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of `health` with a concern, alike ones together, those of running machines last."""
    rows = found[found.concern.notna()].sort_values(["concern", "label"], kind="stable")
    return rows.sort_values("state", key=lambda states: states == "running", kind="stable")


def health_checks(watched: pd.DataFrame, reached: pd.DataFrame) -> list[tuple[bool, str]]:
    """What should hold of the machines, and whether it does. Nothing for no machines: nothing was checked."""
    if not len(watched):
        return []
    checks = [
        ("No machine is suspended", watched.label[watched.state == "suspended"]),
        ("The state of every machine is told", watched.label[watched.state.isna()]),
    ]
    if watched.looks.max() > 1 or not watched.state.isin(UNSETTLED).any():
        checks.append(("No machine was building or busy all the time", watched.label[watched.all_along]))
    for port, part in reached.groupby("port"):
        shut = part.label[part.outcome.isin(OUTCOMES[1:4])]
        checks.append((f"Every running machine has port {port} open", shut))
    far = reached[reached.outcome == OUTCOMES[4]].drop_duplicates(["label", "address"])
    if len(far):
        checks.append(("This computer has a network that leads to every machine", far.label))
    return [holds(text, bad) for text, bad in checks]


def watch_note(watched: pd.DataFrame, watch_s: float) -> charts.Html:
    """How long was watched, and what that can tell."""
    unsettled = int(watched.state.isin(UNSETTLED).sum())
    if not len(watched):
        return charts.note("There is no machine to watch.")
    looks, be = int(watched.looks.max()), "is" if unsettled == 1 else "are"
    words = [f"The API tells no times. The machines were looked at {looks} time{'s' if looks > 1 else ''}."]
    if unsettled and looks == 1:
        words.append(
            f"{unsettled} {be} building or busy; for how long cannot be told by one look (watch_s is {watch_s:g})."
        )
    elif unsettled:
        words.append(
            f"{unsettled} {be} building or busy at the end of {watch_s:g} s. To build one takes minutes: a longer "
            "watch_s tells a slow machine from one that is stuck."
        )
    return charts.note(" ".join(words))


def reach_table(reached: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """The machines that took longest to answer, slowest first."""
    answered = reached.dropna(subset="milliseconds").sort_values(
        "milliseconds", ascending=False, kind="stable"
    )
    return answered.head(most)
