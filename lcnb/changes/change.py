"""`Change`: one request as a value, with what a person needs to know before it is sent.

A change is plain data. `change.action` names its action in `lcnb.changes.actions`, which has its rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lcnb.api.calls import Call
from lcnb.api.passwords import new_password
from lcnb.errors import InputError
from lcnb.facts.wishes import FactsWish, read_wish
from lcnb.secret import STARS, Secret

#: The fields of a change that a plan holds as they are, in the order of the plan file.
_PLAN_FIELDS = (
    "action", "target", "identifier", "before", "after", "monthly_before", "monthly_after", "currencycode",
    "currencycode_before", "made_password", "key_file", "facts",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change: the exact request, and what a person needs to know before it is sent."""

    action: str
    target: str
    call: Call
    identifier: str | None = None
    before: str = ""
    after: str = ""
    monthly_before: float | None = None
    monthly_after: float | None = None
    currencycode: str | None = None
    #: The currency of `monthly_before`, where it is another one.
    currencycode_before: str | None = None
    #: What the live record must still be when the change is applied.
    expect: Mapping[str, Any] = field(default_factory=dict)
    #: Whether lcnb made the password in the request; after a restart it makes another one.
    made_password: bool = False
    #: Where a private key is written, mode 0600, before the request is sent or when its response arrives.
    key_file: str | None = None
    private_key: Secret | None = field(default=None, repr=False)
    #: Facts that are written when the account shows the machine that this change makes.
    facts: FactsWish = field(default_factory=dict)

    def plan(self) -> dict[str, Any]:
        """Return the change as JSON, with stars for secrets; `from_plan` reads it."""
        call = {
            "method": self.call.method,
            "path": self.call.path,
            "summary": self.call.summary,
            "effect": self.call.effect,
            "body": self.call.masked_body(),
            "may_be_empty": self.call.may_be_empty,
        }
        values = {name: getattr(self, name) for name in _PLAN_FIELDS}
        return {**values, "facts": dict(self.facts), "expect": dict(self.expect), "call": call}

    @classmethod
    def from_plan(
        cls, plan: Mapping[str, Any], password: Secret | None = None, *, allow_new_password: bool = False
    ) -> Change:
        """Read a change from its JSON.

        A password that lcnb had generated is generated again. A typed password must be passed again as `password`,
        unless `allow_new_password` allows a new one in its place; otherwise InputError.
        """
        call = dict(plan["call"])
        body = dict(call["body"]) if call["body"] is not None else None
        if body is not None and body.get("password") == STARS:
            if password is None and not plan["made_password"] and not allow_new_password:
                raise InputError(
                    f"{plan['action']} {plan['target']}: the password was typed, and lcnb does not store typed "
                    f"passwords. Pass the password of {plan['target']} again. Nothing was sent."
                )
            body["password"] = password or Secret(new_password())
        rest = {name: value for name, value in plan.items() if name != "call"}
        _check_facts(plan)
        return cls(call=Call(**{**call, "body": body}), **rest)


def _check_facts(plan: Mapping[str, Any]) -> None:
    """Raise InputError when the facts in a plan are none: they could not be written once the machine is made."""
    try:
        read_wish(plan.get("facts") or {})
    except InputError as error:
        raise InputError(f"{plan['action']} {plan['target']}: {error.statement}", not_done="sent") from None
