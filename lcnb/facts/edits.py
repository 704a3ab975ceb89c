"""What an edit does with the facts of one machine: each function returns a `FactsEdit`, which keeps all other facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from lcnb.errors import InputError
from lcnb.facts.machine_facts import (
    FactsEdit,
    MachineFacts,
    Protection,
    checked_tag_key,
    checked_text,
    describe_tag,
    parse_tags,
)
from lcnb.suggestions import did_you_mean
from lcnb.times import parse_duration, to_utc

#: Tags as users pass them: `project=shop`, the bare key `legacy`, or a mapping of keys to values.
Tags = str | Mapping[str, str]


@contextmanager
def _nothing_written() -> Iterator[None]:
    """Add to an error that nothing was written."""
    try:
        yield
    except InputError as error:
        raise error.restate(not_done="written") from None


@_nothing_written()
def read_tags(given: Iterable[Tags]) -> dict[str, str]:
    """Return the tags that a user passed. InputError for none, for a wrong one, and for one key with two values.

    >>> read_tags(["project=shop", {"cost-center": "12"}])
    {'cost-center': '12', 'project': 'shop'}
    """
    texts: list[str] = []
    for each in given:
        if isinstance(each, str):
            texts.append(_one_tag(each))
        elif isinstance(each, Mapping):
            texts += [describe_tag(key, value) for key, value in each.items()]
        else:
            raise InputError(
                field="tags",
                expected="texts such as 'project=shop', or a mapping of keys to texts",
                value=each,
            )
    if not texts:
        raise InputError("no tag is given", field="tags", cure="Pass key=value, or a key.")
    return parse_tags(texts)


def _one_tag(text: str) -> str:
    if not text.strip():
        raise InputError(field="tag", expected="key=value, or a key", value=text)
    return text


@_nothing_written()
def read_tag_keys(given: Iterable[str]) -> list[str]:
    """Return the keys of tags that a user passed. InputError for none, and for a text that is no key."""
    keys = [checked_tag_key(each) for each in given]
    if not keys:
        raise InputError("no key is given", field="tags", cure="Pass the keys of the tags to remove.")
    return keys


@_nothing_written()
def check_tag_keys(keys: Iterable[str], facts: Iterable[MachineFacts]) -> None:
    """Raise InputError for a key that none of these machines has: it is probably misspelt."""
    known = sorted({key for each in facts for key in each.tags})
    for key in keys:
        if key not in known:
            raise InputError(
                f"none of these machines has a tag {key!r}{did_you_mean(key, known)}. Their tags: "
                f"{', '.join(known) or 'none'}",
                field="tags",
                value=key,
            )


@_nothing_written()
def read_expiry(
    duration: str | timedelta | None, at: str | date | None, never: bool, now: datetime
) -> datetime | None:
    """Return the time at which a machine expires; None for never.

    Args:
        duration: The time from now, such as `8h`.
        at: The time itself; without an offset it is in UTC.
        never: The machine does not expire.
        now: The current time.

    Raises InputError unless exactly one of the three is given, and for a time that is not in the future.
    """
    if (duration is not None) + (at is not None) + never != 1:
        raise InputError("pass one of a duration, a time, and never", field="expires")
    if never:
        return None
    if duration is not None:
        try:
            found = now + parse_duration(duration, "expires")
        except OverflowError:
            raise InputError(f"{duration} from now is beyond the year 9999", field="expires") from None
        return found.astimezone(UTC).replace(microsecond=0)
    moment = to_utc(at)
    if moment is None:
        raise InputError(
            field="expires", expected="a time such as 2026-12-01, or 2026-12-01T18:00-03:00", value=at
        )
    found = moment.replace(microsecond=0)
    if found <= now:
        raise InputError(
            f"{found:%Y-%m-%dT%H:%M:%SZ} is in the past",
            field="expires",
            value=at,
            cure="Pass a time in the future; a machine that is not needed any more can be deleted now.",
        )
    return found


def add_tags(tags: Mapping[str, str]) -> FactsEdit:
    """Set these tags; a tag that exists gets the new value."""
    return lambda facts: replace(facts, tags=dict(sorted({**facts.tags, **tags}.items())))


def remove_tags(keys: Collection[str]) -> FactsEdit:
    """Remove the tags of these keys."""
    return lambda facts: replace(
        facts, tags={key: value for key, value in facts.tags.items() if key not in keys}
    )


@_nothing_written()
def protect(by: str, at: datetime) -> FactsEdit:
    """Protect a machine. One that is protected keeps the name and the time of its protection."""
    protection = Protection(checked_text("user", by), at.astimezone(UTC).replace(microsecond=0))
    return lambda facts: replace(facts, protection=facts.protection or protection)


def unprotect() -> FactsEdit:
    """Lift the protection of a machine."""
    return lambda facts: replace(facts, protection=None)


def expire(at: datetime | None) -> FactsEdit:
    """Set when a machine expires; None for never."""
    return lambda facts: replace(facts, expires=at)


@_nothing_written()
def describe(owner: str | None, note: str | None) -> FactsEdit:
    """Set owner and note; None leaves what is there, an empty text removes it."""
    given = {"owner": owner, "note": note}
    texts = {name: checked_text(name, text) for name, text in given.items() if text is not None}
    if not texts:
        raise InputError("pass owner=..., note=..., or both", field="facts")
    return lambda facts: replace(facts, **texts)  # type: ignore[arg-type]  # both fields are texts


def move(identifier: str) -> FactsEdit:
    """Move the facts of this machine, which must be the first one, to the next one, which must have none."""
    taken: list[MachineFacts] = []

    def change(facts: MachineFacts) -> MachineFacts:
        if facts.identifier == identifier:
            taken.append(facts)
            return MachineFacts(identifier)
        if not facts.is_empty:
            raise InputError(
                f"{facts.label or facts.identifier} ({facts.identifier}) has facts already", field="to"
            )
        return replace(taken[0], identifier=facts.identifier, label=facts.label)

    return change


def clear(removed: list[MachineFacts]) -> FactsEdit:
    """Remove all facts, and append what was removed to `removed`."""

    def change(facts: MachineFacts) -> MachineFacts:
        removed.append(facts)
        return MachineFacts(facts.identifier)

    return change
