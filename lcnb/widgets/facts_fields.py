"""The fields for facts about machines, their checks and suggestions, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError, LcnbError
from lcnb.facts import edits
from lcnb.facts.machine_facts import checked_text
from lcnb.times import is_duration
from lcnb.widgets.form_fields import Choice, FieldValues, FormField

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

#: What separates tags in a field, as in the table and in the facts file.
TAG_SEPARATOR = ";"
#: The text that removes a fact; an empty field leaves it as it is.
REMOVE = "-"
PROTECT, LIFT = "protect", "lift"
EXPIRES_HELP = "8h, 7d, or a time in UTC such as 2026-12-31T18:00"


def split_tags(text: str) -> list[str]:
    """Return the texts of a field of tags: `legacy; project=shop`."""
    return [each.strip() for each in text.split(TAG_SEPARATOR) if each.strip()]


def expiry_arguments(text: str) -> dict[str, Any]:
    """Return the arguments of `expire` for a text: a duration, a time, or `-` for never."""
    if text.strip() == REMOVE:
        return {"never": True}
    return {"in_": text} if is_duration(text) else {"at": text}


def _check_tags(value: str, values: FieldValues) -> None:
    edits.read_tags(split_tags(value))


def _check_keys(value: str, values: FieldValues) -> None:
    edits.read_tag_keys(split_tags(value))


def _check_text(name: str) -> Callable[[str, FieldValues], object]:
    return lambda value, values: checked_text(name, value)


def _check_expiry(value: str, values: FieldValues) -> None:
    given = expiry_arguments(value)
    edits.read_expiry(given.get("in_"), given.get("at"), given.get("never", False), datetime.now(UTC))


def _tag_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the tags that other machines have."""
    return _distinct(tag for text in lc.facts().tags.dropna() for tag in split_tags(text))


def _key_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the keys of all tags.

    They do not depend on the ticked machines: what is typed must stay when another machine is ticked.
    """
    texts = lc.facts().tags.dropna()
    return _distinct(tag.partition("=")[0] for text in texts for tag in split_tags(text))


def _owner_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the owners of other machines."""
    return _distinct(lc.facts().owner.dropna())


def _distinct(texts: Any) -> list[Choice]:
    return [Choice(each, each) for each in sorted(set(texts))]


def tags_field(name: str, label: str, text: str) -> FormField:
    """Return a field for tags, with those of other machines as suggestions."""
    return FormField(
        name, label, text, "suggest", required=False, load=_tag_choices, check=_check_tags, several=True,
        separator=TAG_SEPARATOR,
    )  # fmt: skip


def expires_field(text: str) -> FormField:
    """Return a field for the time at which machines expire."""
    return FormField("expires", "Expires", text, required=False, check=_check_expiry)


FACTS_FIELDS = (
    FormField("machines", "Machines", "", "rows", default=()),
    tags_field("tags_added", "Add tags", "key=value or a key; a semicolon separates several"),
    FormField(
        "tags_removed", "Remove tags", "keys; a semicolon separates several", "suggest", required=False,
        load=_key_choices, check=_check_keys, several=True, separator=TAG_SEPARATOR,
    ),
    FormField(
        "owner", "Owner", "empty leaves the owner as it is, - removes it", "suggest", required=False,
        load=_owner_choices, check=_check_text("owner"),
    ),
    FormField(
        "note", "Note", "empty leaves the note as it is, - removes it", required=False, check=_check_text("note")
    ),
    expires_field(f"{EXPIRES_HELP}; - for never"),
    FormField(
        "protection", "Protection", "refuses to power off, shut down, resize, reset or delete a machine", "choice",
        required=False,
        choices=(
            Choice("", "leave it as it is"), Choice(PROTECT, "protect"), Choice(LIFT, "lift the protection"),
        ),
    ),
)  # fmt: skip


def save_facts(lc: LetsCloud, values: FieldValues) -> tuple[list[str], LcnbError | None]:
    """Save the facts of a form. Return what was saved, and the error that prevented the rest.

    Raises LcnbError when nothing was saved. What most likely fails comes first.
    """
    rows = picked_machines(lc, values["machines"])
    saved: list[str] = []
    for what, save in _steps(lc, rows, values):
        try:
            save()
        except LcnbError as error:
            if not saved:
                raise
            return saved, error
        saved.append(what)
    return saved, None


def picked_machines(lc: LetsCloud, identifiers: Any) -> pd.DataFrame:
    """Return the machines with these identifiers as they are now. Raises InputError for those that no longer exist."""
    now = lc.instances()
    rows = now[now.identifier.isin(list(identifiers))]
    if gone := sorted(set(identifiers) - set(rows.identifier.dropna())):
        raise InputError(f"machines: {', '.join(gone)} no longer exist. Refresh the table.")
    return rows


def _steps(
    lc: LetsCloud, rows: pd.DataFrame, values: FieldValues
) -> list[tuple[str, Callable[[], pd.DataFrame]]]:
    """Return the edits of a form: what each saves, and the function that does it."""
    tags, keys = split_tags(values["tags_added"]), split_tags(values["tags_removed"])
    texts = {name: values[name].strip() for name in ("owner", "note") if values[name].strip()}
    given = {name: "" if text == REMOVE else text for name, text in texts.items()}
    expires, protection = values["expires"].strip(), values["protection"]
    steps: list[tuple[bool, str, Callable[[], pd.DataFrame]]] = [
        (bool(keys), f"tags removed: {'; '.join(keys)}", lambda: lc.untag(rows, *keys)),
        (bool(tags), f"tags added: {'; '.join(tags)}", lambda: lc.tag(rows, *tags)),
        (bool(given), " and ".join(given), lambda: lc.set_facts(rows, **given)),
        (bool(expires), "expiry", lambda: lc.expire(rows, **expiry_arguments(expires))),
        (protection == PROTECT, "protection", lambda: lc.protect(rows)),
        (protection == LIFT, "protection lifted", lambda: lc.unprotect(rows)),
    ]
    return [(what, save) for wanted, what, save in steps if wanted]
