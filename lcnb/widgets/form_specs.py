"""What each form asks, where its choices come from, and which method of the client its answers go to.

A field that stands for one of the API's takes its help from that line of `models`. Checks are those of `build`
and `passwords`: a form refuses while somebody types what would be refused later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.api import models
from lcnb.api.passwords import checked_password
from lcnb.changes import build
from lcnb.changes.accessor import Rows
from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError
from lcnb.secret import Secret
from lcnb.widgets.form import Choice, Field, Spec, Values

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

Secrets = Mapping[str, Secret]


def asking(model: type[models.Record], name: str, label: str, **more: Any) -> Field:
    """A field for one of the API's: what it means stands in `models`."""
    (line,) = (each for each in models.fields_of(model) if each.name == name)
    return Field(more.pop("as_", name), label, **{"help": line.about.help, **more})


# --- choices --------------------------------------------------------------------------------------------


def known(value: Any) -> bool:
    """Whether a cell holds a value."""
    import pandas as pd

    return not pd.isna(value) and value != ""


def locations(lc: LetsCloud, values: Values) -> list[Choice]:
    """All locations; one that takes no new machines is marked."""
    rows = lc.locations().to_dict("records")
    return [_place(row) for row in rows if known(row["slug"])]


def _place(row: Mapping[Any, Any]) -> Choice:
    name = f"{row['slug']} – {row['city']}"
    if known(row["available"]) and not row["available"]:
        return Choice(
            row["slug"], f"{name} (sold out)", f"{row['slug']} takes no new machines now; another one does."
        )
    return Choice(row["slug"], name)


def size(row: Mapping[Any, Any]) -> str:
    """`2 CPUs, 4 GB, 30 GB disk`."""
    cpus = "1 CPU" if row["core"] == 1 else f"{row['core']} CPUs"
    return f"{cpus}, {row['memory'] / 1024:g} GB, {row['disk']} GB disk"


def _own_currency(lc: LetsCloud, plans: pd.DataFrame) -> pd.DataFrame:
    """Each plan once: in the account's currency where it is sold in two."""
    mine = lc.profile().currency
    order = (plans.shortcode != mine).argsort(kind="stable")
    return plans.iloc[order].drop_duplicates("slug").sort_values("monthly_value")


def plans(lc: LetsCloud, values: Values) -> list[Choice]:
    """The plans of the chosen location with their prices, the cheapest first."""
    rows = _own_currency(lc, lc.plans(values["location"])).dropna(subset=["slug"]).to_dict("records")
    return [
        Choice(row["slug"], f"{size(row)} – {_price(row['monthly_value'], row['currencycode'])}")
        for row in rows
    ]


def _price(value: Any, code: Any) -> str:
    return f"{value:,.2f} {code} a month" if known(value) else "price not told"


def images(lc: LetsCloud, values: Values) -> list[Choice]:
    """The images of the chosen location."""
    rows = lc.images(values["location"]).dropna(subset=["slug"]).sort_values("distro").to_dict("records")
    return [Choice(row["slug"], str(row["distro"] if known(row["distro"]) else row["slug"])) for row in rows]


def keys(lc: LetsCloud, values: Values) -> list[Choice]:
    """The account's ssh keys."""
    rows = lc.sshkeys().dropna(subset=["slug"]).to_dict("records")
    return [Choice(row["slug"], f"{row['title']} ({row['slug']})") for row in rows]


def snapshots(lc: LetsCloud, values: Values) -> list[Choice]:
    """The account's snapshots."""
    rows = lc.snapshots().dropna(subset=["slug"]).to_dict("records")
    return [Choice(row["slug"], f"{row['label']} – {row['size']:g} GB ({row['slug']})") for row in rows]


def machines(lc: LetsCloud, values: Values) -> list[Choice]:
    """The machines that can be acted on, by label; the identifier tells two of one label apart."""
    rows = lc.instances().dropna(subset=["identifier"]).sort_values("label").to_dict("records")
    return [
        Choice(row["identifier"], f"{row['label']} – {row['state']}, {row['location']} ({row['identifier']})")
        for row in rows
    ]


def plans_there(lc: LetsCloud, values: Values) -> list[Choice]:
    """The plans that all picked machines could have, each with the difference that it makes a month."""
    fleet = lc.inventory()
    picked = fleet[fleet.identifier.isin(values["machines"])]
    common: dict[str, list[dict[Any, Any]]] = {}
    for place in picked.location.dropna().unique():
        for row in _own_currency(lc, lc.plans(place)).to_dict("records"):
            common.setdefault(row["slug"], []).append({**row, "location": place})
    everywhere = [rows for rows in common.values() if len(rows) == picked.location.nunique()]
    everywhere = [rows for rows in everywhere if rows[0]["disk"] >= picked.total_disk_size.max()]
    return [Choice(rows[0]["slug"], f"{size(rows[0])} – {_difference(rows, picked)}") for rows in everywhere]


def _difference(rows: list[dict[Any, Any]], picked: pd.DataFrame) -> str:
    """`44.50 USD a month (+26.80)`; of several machines the difference of all of them, by currency."""
    prices = {row["location"]: row for row in rows}
    sums: dict[str, float] = {}
    for _, machine in picked.iterrows():
        row = prices[machine.location]
        if not known(machine.monthly_value) or machine.currencycode != row["currencycode"]:
            return f"{_price(rows[0]['monthly_value'], rows[0]['currencycode'])}, difference not known"
        code = str(row["currencycode"])
        sums[code] = sums.get(code, 0.0) + row["monthly_value"] - machine.monthly_value
    text = ", ".join(f"{value:+,.2f} {code}" for code, value in sums.items())
    if all(abs(value) < 0.005 for value in sums.values()):
        text = "as now"
    return f"{_price(rows[0]['monthly_value'], rows[0]['currencycode'])} each ({text})"


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
