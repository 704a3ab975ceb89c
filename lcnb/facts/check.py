"""What does not fit between a facts file and an account: `find_problems`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lcnb.facts.machine_facts import MachineFacts, format_time, stored_label
from lcnb.names import same_name

#: The findings of a check and what each means.
FINDINGS = {
    "replaced": "the account no longer has this machine, and another one has its label now",
    "gone": "the account no longer has this machine",
    "expired": "the machine may be ended",
    "renamed": "the machine has another label in the account",
    "untagged": "the machine has no tags",
    "tag missing": "the machine has no tag of a required key",
}


@dataclass(frozen=True)
class FactsProblem:
    """One finding of a check."""

    finding: str
    identifier: str
    label: str
    detail: str


def find_problems(
    facts: Mapping[str, MachineFacts],
    machines: Mapping[str, str],
    *,
    now: datetime,
    required: Sequence[str] = (),
    unreadable: str = "",
) -> list[FactsProblem]:
    """Return the problems of a facts file, in the order of FINDINGS, then by label.

    Args:
        facts: Identifier → facts.
        machines: Identifier → label of each machine of the account.
        now: The time by which machines have expired.
        required: Keys that each machine needs as tags. Without any, a machine needs some tag.
        unreadable: What could not be read of the listing; a machine may then look gone.
    """
    found = [
        *_gone_machines(facts, machines, unreadable),
        *_expired_machines(facts, machines, now),
        *_renamed_machines(facts, machines),
        *_untagged_machines(facts, machines, required),
    ]
    order = list(FINDINGS)
    return sorted(found, key=lambda one: (order.index(one.finding), one.label, one.identifier))


def _gone_machines(
    facts: Mapping[str, MachineFacts], machines: Mapping[str, str], unreadable: str
) -> Iterator[FactsProblem]:
    doubt = (
        f"; the listing could not be read completely ({unreadable}), so it may still exist"
        if unreadable
        else ""
    )
    for identifier, each in facts.items():
        if identifier in machines:
            continue
        same = [other for other, label in machines.items() if same_name(label, each.label)]
        if same:
            detail = f"{each.label} is {', '.join(same)} now: `lcnb facts move {identifier} {same[0]}`"
            yield FactsProblem("replaced", identifier, each.label, f"{detail}{doubt}")
        else:
            yield FactsProblem(
                "gone", identifier, each.label, f"`lcnb facts remove {identifier}` removes its facts{doubt}"
            )


def _expired_machines(
    facts: Mapping[str, MachineFacts], machines: Mapping[str, str], now: datetime
) -> Iterator[FactsProblem]:
    for identifier, each in facts.items():
        if identifier in machines and each.expires is not None and each.expires <= now:
            protection = ", and it is protected" if each.protected else ""
            yield FactsProblem(
                "expired", identifier, machines[identifier], f"at {format_time(each.expires)}{protection}"
            )


def _renamed_machines(
    facts: Mapping[str, MachineFacts], machines: Mapping[str, str]
) -> Iterator[FactsProblem]:
    for identifier, each in facts.items():
        label = stored_label(machines.get(identifier, ""))
        if label and each.label and not same_name(label, each.label):
            yield FactsProblem(
                "renamed",
                identifier,
                label,
                f"it was {each.label}; the next edit of its facts stores the label",
            )


def _untagged_machines(
    facts: Mapping[str, MachineFacts], machines: Mapping[str, str], required: Iterable[str]
) -> Iterator[FactsProblem]:
    keys = list(required)
    for identifier, label in machines.items():
        tags = facts[identifier].tags if identifier in facts else {}
        missing = [key for key in keys if key not in tags]
        if missing:
            yield FactsProblem("tag missing", identifier, label, ", ".join(missing))
        elif not tags and not keys:
            yield FactsProblem("untagged", identifier, label, f"`lcnb tag {identifier} key=value`")
