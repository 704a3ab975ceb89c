"""The account's forms: what each asks, and which method of the client builds its ChangeSet.

A field that represents a field of the API takes its help from `models`. Checks are those of `build` and `passwords`, so a
form refuses during typing what would be refused later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.api import fields, models
from lcnb.api.passwords import checked_password
from lcnb.changes import build
from lcnb.changes.accessor import SelectedRows
from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError
from lcnb.secret import Secret
from lcnb.widgets.choices import (
    image_choices,
    key_choices,
    location_choices,
    machine_choices,
    plan_choices,
    resize_choices,
    snapshot_choices,
)
from lcnb.widgets.form_fields import Choice, FieldValues, FormField, FormSpec

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

FieldSecrets = Mapping[str, Secret]


def api_field(model: type[fields.Record], name: str, label: str, **more: Any) -> FormField:
    """A field for one of the API's: what it means stands in `models`."""
    (line,) = (each for each in fields.fields_of(model) if each.name == name)
    return FormField(more.pop("as_", name), label, **{"help": line.about.help, **more})


# --- passwords ------------------------------------------------------------------------------------------

PASSWORD_GENERATED, PASSWORD_TYPED = "made", "typed"


def password_fields(
    how: str, when: Callable[[FieldValues], bool] = lambda values: True
) -> tuple[FormField, ...]:
    """Made by lcnb, or typed twice; a typed one never enters a widget's state."""

    def typed(values: FieldValues) -> bool:
        return when(values) and values["access"] == PASSWORD_TYPED

    choices = (Choice(PASSWORD_GENERATED, how), Choice(PASSWORD_TYPED, "type one"))
    return (
        FormField("access", "Root password", kind="choice", default=PASSWORD_GENERATED, choices=choices, when=when),
        FormField(
            "password", "New password", "12 to 32 characters with upper, lower, digit and special", "secret",
            check=lambda value, values: checked_password(value), when=typed,
        ),
        FormField("password_again", "Once more", kind="secret", check=_check_repetition, when=typed),
    )  # fmt: skip


def _check_repetition(value: Secret, values: FieldValues) -> None:
    if value != values.get("password"):
        raise InputError("The two are not the same.")


# --- machines -------------------------------------------------------------------------------------------


def _check_label(value: str, values: FieldValues) -> None:
    build.checked_label(value)


CREATE_MACHINE = FormSpec(
    "create",
    "New machine",
    (
        api_field(models.Instance, "label", "Label", help="your name for it; must be free", check=_check_label),
        FormField("location", "Location", kind="choice", load=location_choices),
        FormField("plan", "Plan", "resources and price a month", "choice", needs=("location",), load=plan_choices),
        FormField("image", "Image", "operating system or one-click image", "choice", needs=("location",), load=image_choices),
        api_field(
            models.Instance, "hostname", "Host name", help="made from the label when left empty", required=False,
            check=lambda value, values: build.checked_hostname(value),
        ),
        FormField("ssh_key", "SSH key", "a key of the account that may log in", "choice", required=False, load=key_choices),
        *password_fields("none with a key, else made by lcnb"),
    ),
    lambda lc, values, secrets: lc.create_instance(
        values["label"], location=values["location"], plan=values["plan"], image=values["image"],
        hostname=values["hostname"] or None, ssh_key=values["ssh_key"] or None,
        password=_typed_password(values, secrets),
    ),
)  # fmt: skip


def _typed_password(values: FieldValues, secrets: FieldSecrets) -> Secret | None:
    return secrets["password"] if values.get("access") == PASSWORD_TYPED else None


#: Action → how it is told. What cannot be undone stands last.
ACTION_TITLES = {
    "power_on": "Power on",
    "shutdown": "Shut down (asks the machine to stop)",
    "power_off": "Power off (pulls the plug)",
    "reboot": "Reboot",
    "snapshot": "Make a snapshot",
    "change_plan": "Change plan",
    "reset_password": "Reset root password",
    "delete": "Delete with its disk",
}


def _action_is(action: str) -> Callable[[FieldValues], bool]:
    return lambda values: values["action"] == action


def _build_action(lc: LetsCloud, values: FieldValues, secrets: FieldSecrets) -> ChangeSet:
    """The action on the machines that were picked, as they are now."""
    picked, action = list(values["machines"]), values["action"]
    password = _typed_password(values, secrets)
    if password is not None:
        if len(picked) > 1:
            raise InputError("password: a typed one is for one machine; several get one each, made by lcnb.")
        return lc.reset_password(picked[0], password=password)
    now = lc.instances()
    rows = now[now.identifier.isin(picked)]
    if len(rows) < len(picked):
        gone = sorted(set(picked) - set(rows.identifier.dropna()))
        raise InputError(f"machines: {', '.join(gone)} are not there any more. Refresh the table.")
    arguments = {"change_plan": ["plan"], "snapshot": ["snapshot_label"]}.get(action, [])
    changes: ChangeSet = getattr(SelectedRows(rows)(lc), action)(*(values[name] for name in arguments))
    return changes


CHANGE_MACHINES = FormSpec(
    "act",
    "Change machines",
    (
        FormField("machines", "Machines", "", "rows", default=()),
        FormField("action", "Action", kind="choice", choices=tuple(Choice(*each) for each in ACTION_TITLES.items())),
        FormField(
            "plan", "New plan", "a disk cannot shrink, so smaller ones are not offered", "choice",
            needs=("machines", "action"), load=resize_choices, when=_action_is("change_plan"),
        ),
        FormField(
            "snapshot_label", "Snapshot label", "{label} stands for the machine's own", default="{label}",
            check=_check_label, when=_action_is("snapshot"),
        ),
        *password_fields("made by lcnb, one for each machine", _action_is("reset_password")),
    ),
    _build_action,
)  # fmt: skip

# --- ssh keys -------------------------------------------------------------------------------------------


def _check_key_title(value: str, values: FieldValues) -> None:
    build.slug_of(value)


def _check_public_key(value: str, values: FieldValues) -> None:
    build.checked_public_key(value)


def _check_free_file(value: str, values: FieldValues) -> None:
    path = Path(value).expanduser().absolute()
    if path.exists() or not path.parent.is_dir():
        raise InputError(
            f"{path} {'exists, and is not overwritten' if path.exists() else 'has no folder to be in'}."
        )


REPLACE_FIELD = FormField(
    "replace",
    "Replace",
    "overwrite the key that has this title; machines keep the old one",
    "flag",
    False,
    default=False,
)

ADD_KEY = FormSpec(
    "add_key",
    "Add a public key",
    (
        api_field(models.SSHKey, "title", "Title", help="your name for the key", check=_check_key_title),
        api_field(models.SSHKey, "public_key", "Public key", help="one line, as in ~/.ssh/id_ed25519.pub", kind="area",
               check=_check_public_key),
        REPLACE_FIELD,
    ),
    lambda lc, values, secrets: lc.add_sshkey(values["title"], values["public_key"].strip(), replace=values["replace"]),
)  # fmt: skip

GENERATE_KEY = FormSpec(
    "generate_key",
    "Make a new pair",
    (
        api_field(models.SSHKey, "title", "Title", help="your name for the key", check=_check_key_title),
        FormField(
            "file", "Private key file", "written once, mode 0600, where this kernel runs; must not exist",
            default="~/.ssh/letscloud", check=_check_free_file,
        ),
        FormField("kind", "Kind", kind="choice", default="ed25519",
              choices=(Choice("ed25519", "ed25519"), Choice("rsa", "rsa, 4096 bits"))),
        FormField("where", "Made by", kind="choice", default="here",
              choices=(Choice("here", "this machine: the private half never leaves it"),
                       Choice("there", "the provider: the private half is in one answer"))),
        REPLACE_FIELD,
    ),
    lambda lc, values, secrets: lc.generate_sshkey(
        values["title"], values["file"], key_type=values["kind"], replace=values["replace"],
        generate_on_server=values["where"] == "there",
    ),
)  # fmt: skip

DELETE_KEY = FormSpec(
    "delete_key",
    "Delete a key",
    (FormField("slug", "SSH key", "machines that have it keep it", "choice", load=key_choices),),
    lambda lc, values, secrets: lc.delete_sshkey(values["slug"]),
)

# --- snapshots ------------------------------------------------------------------------------------------

CREATE_SNAPSHOT = FormSpec(
    "create_snapshot",
    "New snapshot",
    (
        FormField("machine", "Machine", kind="choice", load=machine_choices),
        api_field(models.Snapshot, "label", "Snapshot name", check=_check_label),
    ),
    lambda lc, values, secrets: lc.create_snapshot(values["machine"], label=values["label"]),
)

RENAME_SNAPSHOT = FormSpec(
    "rename_snapshot",
    "Rename a snapshot",
    (
        FormField("slug", "Snapshot", kind="choice", load=snapshot_choices),
        api_field(models.Snapshot, "label", "New name", check=_check_label),
    ),
    lambda lc, values, secrets: lc.rename_snapshot(values["slug"], values["label"]),
)

DELETE_SNAPSHOT = FormSpec(
    "delete_snapshot",
    "Delete a snapshot",
    (FormField("slug", "Snapshot", kind="choice", load=snapshot_choices),),
    lambda lc, values, secrets: lc.delete_snapshot(values["slug"]),
)

FORM_SPECS = (
    CREATE_MACHINE, CHANGE_MACHINES, ADD_KEY, GENERATE_KEY, DELETE_KEY, CREATE_SNAPSHOT, RENAME_SNAPSHOT, DELETE_SNAPSHOT
)  # fmt: skip
SPECS_BY_NAME = {each.name: each for each in FORM_SPECS}
