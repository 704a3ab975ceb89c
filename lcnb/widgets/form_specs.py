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
from lcnb.changes.accessor import Rows
from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError
from lcnb.secret import Secret
from lcnb.widgets.choices import images, keys, locations, machines, plans, plans_there, snapshots
from lcnb.widgets.form_fields import Choice, Field, Spec, Values

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

Secrets = Mapping[str, Secret]


def asking(model: type[fields.Record], name: str, label: str, **more: Any) -> Field:
    """A field for one of the API's: what it means stands in `models`."""
    (line,) = (each for each in fields.fields_of(model) if each.name == name)
    return Field(more.pop("as_", name), label, **{"help": line.about.help, **more})


# --- passwords ------------------------------------------------------------------------------------------

MADE, TYPED = "made", "typed"


def passwords(how: str, when: Callable[[Values], bool] = lambda values: True) -> tuple[Field, ...]:
    """Made by lcnb, or typed twice; a typed one never enters a widget's state."""

    def typed(values: Values) -> bool:
        return when(values) and values["access"] == TYPED

    choices = (Choice(MADE, how), Choice(TYPED, "type one"))
    return (
        Field("access", "Root password", kind="choice", default=MADE, choices=choices, when=when),
        Field(
            "password", "New password", "12 to 32 characters with upper, lower, digit and special", "secret",
            check=lambda value, values: checked_password(value), when=typed,
        ),
        Field("password_again", "Once more", kind="secret", check=_same, when=typed),
    )  # fmt: skip


def _same(value: Secret, values: Values) -> None:
    if value != values.get("password"):
        raise InputError("The two are not the same.")


# --- machines -------------------------------------------------------------------------------------------


def _label(value: str, values: Values) -> None:
    build.checked_label(value)


CREATE = Spec(
    "create",
    "New machine",
    (
        asking(models.Instance, "label", "Label", help="your name for it; must be free", check=_label),
        Field("location", "Location", kind="choice", load=locations),
        Field("plan", "Plan", "resources and price a month", "choice", needs=("location",), load=plans),
        Field("image", "Image", "operating system or one-click image", "choice", needs=("location",), load=images),
        asking(
            models.Instance, "hostname", "Host name", help="made from the label when left empty", required=False,
            check=lambda value, values: build.checked_hostname(value),
        ),
        Field("ssh_key", "SSH key", "a key of the account that may log in", "choice", required=False, load=keys),
        *passwords("none with a key, else made by lcnb"),
    ),
    lambda lc, values, secrets: lc.create_instance(
        values["label"], location=values["location"], plan=values["plan"], image=values["image"],
        hostname=values["hostname"] or None, ssh_key=values["ssh_key"] or None,
        password=_typed(values, secrets),
    ),
)  # fmt: skip


def _typed(values: Values, secrets: Secrets) -> Secret | None:
    return secrets["password"] if values.get("access") == TYPED else None


#: Action → how it is told. What cannot be undone stands last.
ACTIONS = {
    "power_on": "Power on",
    "shutdown": "Shut down (asks the machine to stop)",
    "power_off": "Power off (pulls the plug)",
    "reboot": "Reboot",
    "snapshot": "Make a snapshot",
    "change_plan": "Change plan",
    "reset_password": "Reset root password",
    "delete": "Delete with its disk",
}


def _does(action: str) -> Callable[[Values], bool]:
    return lambda values: values["action"] == action


def _act(lc: LetsCloud, values: Values, secrets: Secrets) -> ChangeSet:
    """The action on the machines that were picked, as they are now."""
    picked, action = list(values["machines"]), values["action"]
    password = _typed(values, secrets)
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
    changes: ChangeSet = getattr(Rows(rows)(lc), action)(*(values[name] for name in arguments))
    return changes


ACT = Spec(
    "act",
    "Change machines",
    (
        Field("machines", "Machines", "", "rows", default=()),
        Field("action", "Action", kind="choice", choices=tuple(Choice(*each) for each in ACTIONS.items())),
        Field(
            "plan", "New plan", "a disk cannot shrink, so smaller ones are not offered", "choice",
            needs=("machines", "action"), load=plans_there, when=_does("change_plan"),
        ),
        Field(
            "snapshot_label", "Snapshot label", "{label} stands for the machine's own", default="{label}",
            check=_label, when=_does("snapshot"),
        ),
        *passwords("made by lcnb, one for each machine", _does("reset_password")),
    ),
    _act,
)  # fmt: skip

# --- ssh keys -------------------------------------------------------------------------------------------


def _title(value: str, values: Values) -> None:
    build.slug_of(value)


def _public_key(value: str, values: Values) -> None:
    build.checked_public_key(value)


def _free_file(value: str, values: Values) -> None:
    path = Path(value).expanduser().absolute()
    if path.exists() or not path.parent.is_dir():
        raise InputError(
            f"{path} {'exists, and is not overwritten' if path.exists() else 'has no folder to be in'}."
        )


REPLACE = Field(
    "replace",
    "Replace",
    "overwrite the key that has this title; machines keep the old one",
    "flag",
    False,
    default=False,
)

ADD_KEY = Spec(
    "add_key",
    "Add a public key",
    (
        asking(models.SSHKey, "title", "Title", help="your name for the key", check=_title),
        asking(models.SSHKey, "public_key", "Public key", help="one line, as in ~/.ssh/id_ed25519.pub", kind="area",
               check=_public_key),
        REPLACE,
    ),
    lambda lc, values, secrets: lc.add_sshkey(values["title"], values["public_key"].strip(), replace=values["replace"]),
)  # fmt: skip

GENERATE_KEY = Spec(
    "generate_key",
    "Make a new pair",
    (
        asking(models.SSHKey, "title", "Title", help="your name for the key", check=_title),
        Field(
            "file", "Private key file", "written once, mode 0600, where this kernel runs; must not exist",
            default="~/.ssh/letscloud", check=_free_file,
        ),
        Field("kind", "Kind", kind="choice", default="ed25519",
              choices=(Choice("ed25519", "ed25519"), Choice("rsa", "rsa, 4096 bits"))),
        Field("where", "Made by", kind="choice", default="here",
              choices=(Choice("here", "this machine: the private half never leaves it"),
                       Choice("there", "the provider: the private half is in one answer"))),
        REPLACE,
    ),
    lambda lc, values, secrets: lc.generate_sshkey(
        values["title"], values["file"], key_type=values["kind"], replace=values["replace"],
        generate_on_server=values["where"] == "there",
    ),
)  # fmt: skip

DELETE_KEY = Spec(
    "delete_key",
    "Delete a key",
    (Field("slug", "SSH key", "machines that have it keep it", "choice", load=keys),),
    lambda lc, values, secrets: lc.delete_sshkey(values["slug"]),
)

# --- snapshots ------------------------------------------------------------------------------------------

CREATE_SNAPSHOT = Spec(
    "create_snapshot",
    "New snapshot",
    (
        Field("machine", "Machine", kind="choice", load=machines),
        asking(models.Snapshot, "label", "Snapshot name", check=_label),
    ),
    lambda lc, values, secrets: lc.create_snapshot(values["machine"], label=values["label"]),
)

RENAME_SNAPSHOT = Spec(
    "rename_snapshot",
    "Rename a snapshot",
    (
        Field("slug", "Snapshot", kind="choice", load=snapshots),
        asking(models.Snapshot, "label", "New name", check=_label),
    ),
    lambda lc, values, secrets: lc.rename_snapshot(values["slug"], values["label"]),
)

DELETE_SNAPSHOT = Spec(
    "delete_snapshot",
    "Delete a snapshot",
    (Field("slug", "Snapshot", kind="choice", load=snapshots),),
    lambda lc, values, secrets: lc.delete_snapshot(values["slug"]),
)

ALL = (
    CREATE, ACT, ADD_KEY, GENERATE_KEY, DELETE_KEY, CREATE_SNAPSHOT, RENAME_SNAPSHOT, DELETE_SNAPSHOT
)  # fmt: skip
NAMED = {each.name: each for each in ALL}
