"""For the runbook `tag_audit`: what is missing or doubtful among the tags of machines, and what each tag costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.display import markup, panels
from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts, checked_tag_key, format_tags
from lcnb.flags import checked_flag
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.reporting import CheckResult, facts_file_text, label_check, summarize_labels
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame
from lcnb.suggestions import did_you_mean

AUDIT_DTYPES = {
    "label": "str",
    "identifier": "str",
    "tags": "str",
    "owner": "str",
    "missing_keys": "str",
    "not_allowed": "str",
    "findings": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
}
KEY_DTYPES = {
    "key": "str",
    "machines": "Int64",
    "values": "Int64",
    "most_used": "str",
    "similar_keys": "str",
    "similar_values": "str",
}
COST_DTYPES = {
    "key": "str",
    "value": "str",
    "machines": "Int64",
    "monthly_value": "Float64",
    "currencycode": "str",
}
ORPHAN_DTYPES = {"label": "str", "identifier": "str", "tags": "str", "owner": "str", "label_now_of": "str"}
#: Without required keys, costs are shown by at most so many keys: those that the most machines have.
MAX_CHARTED_KEYS = 4
#: Shorter keys are similar only when they differ in case or separators: `env` and `end` are different words.
MIN_SIMILAR_CHARACTERS = 5


@dataclass(frozen=True)
class TagRules:
    """What each machine should have: keys, values of a key, an owner. InputError for a rule that cannot be meant."""

    required_keys: Sequence[str] = ()
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    owner_required: bool = True

    def __post_init__(self) -> None:
        checked_flag("owner_required", self.owner_required)
        if not _is_text_list(self.required_keys):
            raise InputError(
                field="required_keys", expected="a list of keys", value=self.required_keys, not_done="sent"
            )
        if not isinstance(self.allowed, Mapping) or not all(map(_is_text_list, self.allowed.values())):
            raise InputError(
                field="allowed",
                expected='keys with lists of values, such as {"env": ["prod", "test"]}',
                value=self.allowed,
                not_done="sent",
            )
        for name, keys in (("required_keys", self.required_keys), ("allowed", self.allowed)):
            for key in keys:
                _check_key(name, key)

    def allowed_values(self, key: str) -> list[str] | None:
        """Return the values that this key may have; None when any value is allowed."""
        values = self.allowed.get(key)
        return None if values is None else [comparable_name(each) for each in values]


def _is_text_list(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _check_key(name: str, key: str) -> None:
    try:
        checked_tag_key(key)
    except InputError as error:
        raise error.restate(field=name, not_done="sent") from None


def taggable(machines: pd.DataFrame) -> pd.DataFrame:
    """Return the machines of an inventory that can have tags: those with an identifier."""
    return machines[machines.identifier.notna()]


def audit_tags(machines: pd.DataFrame, facts: Mapping[str, MachineFacts], rules: TagRules) -> pd.DataFrame:
    """Return what is wrong with the tags and the owner of each machine: one row per machine with an identifier.

    Columns (`AUDIT_DTYPES`): `label`, `identifier`; `tags` and `owner` (missing when the facts file has none);
    `missing_keys` and `not_allowed` list what breaks the rules; `findings` describes all that is wrong (missing when
    nothing is); the price as in the inventory.

    >>> import lcnb
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> audit_tags(fleet, {}, TagRules(["project"])).findings.iloc[0]
    'it has no tag; it has no owner'
    """
    rows = [
        _audit_row(machine, facts.get(machine["identifier"]) or MachineFacts(machine["identifier"]), rules)
        for machine in plain_rows(taggable(machines))
    ]
    return typed_frame(rows, AUDIT_DTYPES)


def _audit_row(machine: Mapping[str, Any], known: MachineFacts, rules: TagRules) -> dict[str, Any]:
    """Return the row of a machine in the frame of `audit_tags`."""
    missing = [key for key in rules.required_keys if key not in known.tags]
    wrong = list(_disallowed_tags(known.tags, rules))
    findings = _iter_findings(known, missing, [sentence for _, sentence in wrong], rules)
    return {
        **machine,
        "tags": format_tags(known.tags) or None,
        "owner": known.owner or None,
        "missing_keys": ", ".join(missing) or None,
        "not_allowed": ", ".join(tag for tag, _ in wrong) or None,
        "findings": "; ".join(findings) or None,
    }


def _iter_findings(
    known: MachineFacts, missing: Iterable[str], wrong: Iterable[str], rules: TagRules
) -> Iterator[str]:
    """Yield what is wrong with a machine: keys that are missing, the sentences about wrong values, the owner."""
    if known.tags:
        yield from (f"{key} is missing{did_you_mean(key, known.tags)}" for key in missing)
    else:
        yield "it has no tag"
    yield from wrong
    if rules.owner_required and not known.owner:
        yield "it has no owner"


def _disallowed_tags(tags: Mapping[str, str], rules: TagRules) -> Iterator[tuple[str, str]]:
    """Yield each tag whose value is not allowed, as text, and the sentence about it."""
    for key, value in tags.items():
        values = rules.allowed_values(key)
        if values is not None and value not in values:
            text = format_tags({key: value})
            expected = ", ".join(each or "(no value)" for each in values) or "nothing"
            yield text, f"{text} is not allowed{did_you_mean(value, values)}, only {expected}"


def list_keys(machines: pd.DataFrame, facts: Mapping[str, MachineFacts]) -> pd.DataFrame:
    """Return the keys that the tags of the machines have: one row per key, the one of the most machines first.

    Columns (`KEY_DTYPES`): `key`; `machines` and `values` are counts; `most_used` lists the most frequent values;
    `similar_keys` and `similar_values` name what may be another spelling (missing when nothing is): keys that differ in
    case, separators, a plural `s` or one letter; values that differ in case, `-`, `_` or spaces.
    """
    values = _values_by_key(machines, facts)
    similar = _similar_names(values, are_similar_keys)
    rows = [
        {
            "key": key,
            "machines": counts.total(),
            "values": len(counts),
            "most_used": ", ".join(f"{value or '(no value)'}: {n}" for value, n in counts.most_common(5)),
            "similar_keys": ", ".join(similar[key]) or None,
            "similar_values": _similar_value_text(counts),
        }
        for key, counts in sorted(values.items(), key=lambda item: (-item[1].total(), item[0]))
    ]
    return typed_frame(rows, KEY_DTYPES)


def _values_by_key(machines: pd.DataFrame, facts: Mapping[str, MachineFacts]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for identifier in taggable(machines).identifier:
        for key, value in facts[identifier].tags.items() if identifier in facts else ():
            found.setdefault(key, Counter())[value] += 1
    return found


def _similar_names(names: Iterable[str], similar: Any) -> dict[str, list[str]]:
    """Return for each name the other names that are similar to it, sorted."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for one, other in combinations(sorted(found), 2):
        if similar(one, other):
            found[one].append(other)
            found[other].append(one)
    return found


def _similar_value_text(values: Iterable[str]) -> str | None:
    similar = _similar_names(values, lambda one, other: _respelled(one) == _respelled(other))
    return ", ".join(sorted(name for name, others in similar.items() if others)) or None


def _respelled(value: str) -> str:
    """Return a value in lower case, with one kind of separator; dots stay, because 1.0 is not 10."""
    return "-".join(value.casefold().replace("_", " ").replace("-", " ").split())


def are_similar_keys(one: str, other: str) -> bool:
    """Whether two keys may be meant to be the same: case, separators, plural, or one letter of a longer word.

    >>> are_similar_keys("Project", "project"), are_similar_keys("cost-center", "cost_centre")
    (True, True)
    >>> are_similar_keys("disk1", "disk2"), are_similar_keys("env", "end")
    (False, False)
    """
    first, second = sorted((_folded(one), _folded(other)), key=len)
    if first == second or f"{first}s" == second:
        return True
    if len(first) < MIN_SIMILAR_CHARACTERS or _without_digits(first) == _without_digits(second):
        return False
    return _differ_by_one_letter(first, second)


def _folded(text: str) -> str:
    """Return a text without differences of case and separators."""
    return "".join(each for each in text.casefold() if each not in " _.-") or text


def _without_digits(text: str) -> str:
    return "".join(each for each in text if not each.isdigit())


def _differ_by_one_letter(short: str, long: str) -> bool:
    """Whether one letter is missing, replaced, or swapped with the next one. `short` is not longer than `long`."""
    differs = [one != other for one, other in zip(short, long, strict=False)]
    start = differs.index(True) if any(differs) else len(short)
    if len(long) - len(short) == 1:
        return short[start:] == long[start + 1 :]
    if len(long) != len(short):
        return False
    swapped = short[:start] + short[start : start + 2][::-1] + short[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped == long


def charted_keys(keys: pd.DataFrame, rules: TagRules) -> list[str]:
    """Return the keys by which costs are shown: the required ones, otherwise those that the most machines have."""
    return list(dict.fromkeys(rules.required_keys)) or keys.key.tolist()[:MAX_CHARTED_KEYS]


def cost_by_tag(
    machines: pd.DataFrame, facts: Mapping[str, MachineFacts], keys: Iterable[str]
) -> pd.DataFrame:
    """Return what the machines of each value of some keys cost per month: one row per key, value and currency.

    Machines without the key are counted in the value `(no KEY)`, machines without a price in rows whose amount and
    currency are missing. Columns (`COST_DTYPES`): `key`, `value`, `machines`, `monthly_value`, `currencycode`. The
    values of a key are sorted by their cost in the first currency.
    """
    rows = [
        {
            "key": key,
            "value": value,
            "machines": len(prices),
            "monthly_value": sum(prices) if code else None,
            "currencycode": code,
        }
        for key in keys
        for (value, code), prices in sorted(_prices_by_value(machines, facts, key).items(), key=_cost_order)
    ]
    return typed_frame(rows, COST_DTYPES)


#: A value of a tag and a currency code; the code is None for machines without a price.
_CostGroup = tuple[str, str | None]


def _prices_by_value(
    machines: pd.DataFrame, facts: Mapping[str, MachineFacts], key: str
) -> dict[_CostGroup, list[float]]:
    """Return the monthly price of each machine, by its value of a key and its currency."""
    found: dict[_CostGroup, list[float]] = {}
    for machine in plain_rows(machines):
        tags = facts[machine["identifier"]].tags if machine["identifier"] in facts else {}
        code = machine["currencycode"] if machine["monthly_value"] is not None else None
        found.setdefault((_tag_value_text(tags, key), code), []).append(machine["monthly_value"] or 0.0)
    return found


def _tag_value_text(tags: Mapping[str, str], key: str) -> str:
    """Return the value of a key as a table shows it, also where there is no value or no such key."""
    if key not in tags:
        return f"(no {key})"
    return tags[key] or "(no value)"


def _cost_order(item: tuple[_CostGroup, list[float]]) -> tuple[bool, str, float, str]:
    """Return what sorts costs: by currency, the highest cost first; machines without a price come last."""
    (value, code), prices = item
    return code is None, code or "", -sum(prices), value


def cost_charts(costs: pd.DataFrame) -> Iterator[tuple[pd.Series[Any], str, str]]:
    """Yield (amounts by value, title, currency code) of each key and currency, for `reporting.money_bars`."""
    priced = costs[costs.currencycode.notna()]
    for (key, code), part in priced.groupby(["key", "currencycode"], sort=False):
        yield part.set_index("value").monthly_value, f"Cost by {key}", str(code)


def list_orphans(machines: pd.DataFrame, facts: Mapping[str, MachineFacts]) -> pd.DataFrame:
    """Return the rows of the facts file whose machine is not in the account: one row each, sorted by label.

    Columns (`ORPHAN_DTYPES`): `label`, `identifier`, `tags` and `owner` of the facts file; `label_now_of` is the
    identifier of the machine that has the label now (missing when none has): its facts are its own.
    """
    holders = _identifiers_by_label(machines)
    live = {identifier for each in holders.values() for identifier in each}
    orphans = sorted(
        (each for each in facts.values() if each.identifier not in live),
        key=lambda each: (each.label, each.identifier),
    )
    return typed_frame([_orphan_row(each, holders) for each in orphans], ORPHAN_DTYPES)


def _identifiers_by_label(machines: pd.DataFrame) -> dict[str, list[str]]:
    """Return the identifiers of the machines that have each label, which may be twins; no label is an empty one."""
    found: dict[str, list[str]] = {}
    for machine in plain_rows(taggable(machines)):
        found.setdefault(comparable_name(machine["label"] or ""), []).append(machine["identifier"])
    return found


def _orphan_row(orphan: MachineFacts, holders: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    """Return the row of `list_orphans` for facts whose machine is gone; `holders` has the identifiers by label."""
    label_holders = holders.get(comparable_name(orphan.label), ()) if orphan.label else ()
    return {
        "label": orphan.label or None,
        "identifier": orphan.identifier,
        "tags": format_tags(orphan.tags) or None,
        "owner": orphan.owner or None,
        "label_now_of": ", ".join(label_holders) or None,
    }


def audit_checks(
    audit: pd.DataFrame, keys: pd.DataFrame, orphans: pd.DataFrame, rules: TagRules
) -> list[CheckResult]:
    """Return the checks of an audit, for `lcnb.run().check`."""
    found = [
        ("Every machine has a tag", audit.label[audit.tags.isna()],
         "machine has no tag", "machines have no tag")
    ]  # fmt: skip
    if rules.required_keys:
        names = ", ".join(rules.required_keys)
        found.append(
            (f"Every machine has the required keys ({names})", audit.label[audit.missing_keys.notna()],
             f"machine lacks a required key ({names})", f"machines lack a required key ({names})")
        )  # fmt: skip
    if rules.allowed:
        found.append(
            ("Every tag has an allowed value", audit.label[audit.not_allowed.notna()],
             "machine has a tag with a value that is not allowed",
             "machines have tags with values that are not allowed")
        )  # fmt: skip
    if rules.owner_required:
        found.append(
            ("Every machine has an owner", audit.label[audit.owner.isna()],
             "machine has no owner", "machines have no owner")
        )  # fmt: skip
    found += [
        ("No two keys differ only in their spelling", keys.key[keys.similar_keys.notna()],
         "key differs from another one only in its spelling", "keys differ from other ones only in their spelling"),
        ("No two values of a key differ only in their spelling", keys.key[keys.similar_values.notna()],
         "key has values that differ only in their spelling", "keys have values that differ only in their spelling"),
        ("Every row of the facts file belongs to a machine", orphans.label.fillna(orphans.identifier),
         "row of the facts file belongs to no machine", "rows of the facts file belong to no machine"),
    ]  # fmt: skip
    return [label_check(*each) for each in found]


def audit_cards(audit: pd.DataFrame, orphans: pd.DataFrame, rules: TagRules) -> markup.Html:
    """Return the key figures of an audit as cards, with the cost of the untagged machines per currency."""
    figures: dict[str, object] = {"machines": len(audit), "without a tag": int(audit.tags.isna().sum())}
    if rules.required_keys:
        figures["without a required key"] = int(audit.missing_keys.notna().sum())
    if rules.allowed:
        figures["with a value that is not allowed"] = int(audit.not_allowed.notna().sum())
    if rules.owner_required:
        figures["without an owner"] = int(audit.owner.isna().sum())
    figures["rows without a machine"] = len(orphans)
    warn = [name for name in list(figures)[1:] if figures[name]]
    for row in frame_records(untagged_cost(audit)):
        if is_known(row["currencycode"]):
            figures[f"{row['currencycode']} per month without a tag"] = f"{row['monthly_value']:,.2f}"
    return panels.cards(figures, warn=warn)


def untagged_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return what the machines without a tag cost per month: one row per currency.

    Columns: `currencycode`, `machines` and `monthly_value`. Machines without a price are in a last row, whose amount
    and currency are missing.
    """
    untagged = audit[audit.tags.isna()]
    priced = untagged[untagged.monthly_value.notna() & untagged.currencycode.notna()]
    rows: list[dict[str, Any]] = [
        {"currencycode": code, "machines": len(part), "monthly_value": float(part.monthly_value.sum())}
        for code, part in priced.groupby("currencycode")
    ]
    if len(untagged) > len(priced):
        rows.append({"machines": len(untagged) - len(priced)})
    return typed_frame(
        rows, {name: COST_DTYPES[name] for name in ("currencycode", "machines", "monthly_value")}
    )


def audit_note(machines: pd.DataFrame, path: Path) -> markup.Html:
    """Say which facts file was read, and which machines cannot be tagged yet."""
    words = [facts_file_text(path, "lcnb tag MACHINE project=shop")]
    left = machines.label[machines.identifier.isna()]
    if len(left):
        words.append(f"Not counted, because they have no identifier yet: {summarize_labels(left)}.")
    return panels.note(" ".join(words))


def list_findings(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `audit_tags` with a finding, for a table: the machines without a tag first."""
    found = audit[audit.findings.notna()].sort_values(
        ["tags", "label"], key=lambda values: values.notna() if values.name == "tags" else values
    )
    return found[["label", "tags", "owner", "findings", "monthly_value", "currencycode"]]
