"""What a desired state deletes, creates and leaves alone: a file that says nothing deletes nothing."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.virtual import client
from by_hand import run_cells
from conftest import TOKEN, Call
from lcnb.changes.journal import Journal, JournalEntry
from lcnb.config import Settings
from lcnb.errors import AlreadyApplied, Drifted, InputError
from lcnb.frames.selection import select
from lcnb.runbooks.toolkit import fleet_file, rotation, targets
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.secret import Secret

NEW = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
COMPOSED, DECOMPOSED = "erp-s\u00e3o", "erp-sa\u0303o"


def prepared(*labels: str) -> Sandbox:
    """A sandbox with one running machine of each label."""
    box = Sandbox(World(Clock(0), fleet=len(labels)), TOKEN)
    for machine, label in zip(box.world.machines, labels, strict=True):
        machine.update(label=label, booted=True, locked=False, built=True, suspended=False)
    return box


def planned(changes: Any) -> list[tuple[str, str]]:
    return [(change.action, change.target) for change in changes]


def fleet(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Labels of the account; the fleet file; what prune deletes (nothing is created).
PRUNED: list[tuple[list[str], str, list[str]]] = [
    (["db", "db#2"], "label\ndb#2\n", ["db"]),
    (["db", "db #2"], "label,state\ndb #2,running\n", ["db"]),
    (["web", "NA"], "label\nNA\n", ["web"]),
    (["web", "null", "nan", "None", "N/A"], "label\nnull\nnan\nNone\nN/A\n", ["web"]),
    (["007", "7"], "label\n007\n", ["7"]),
    (["#db", "db"], 'label\n"#db"\n', ["db"]),
    (["a,b", "a"], 'label;state\na,b;\n', ["a"]),
    (["web", "old"], "label;state\nweb;running\n;\n;;\n", ["old"]),
    (["web", "old"], "\ufefflabel,state\r\nweb,running\r\n,\r\n\r\n", ["old"]),
    (["web", "old"], "# kept\nlabel\nweb\n#old\n", ["old"]),
    (["web", "old"], " label , state\n web ,\n", ["old"]),
    ([COMPOSED, "old"], f"label\n{DECOMPOSED}\n", ["old"]),
    ([DECOMPOSED, "old"], f"label\n{COMPOSED}\n", ["old"]),
    (["web ", "old"], "label\nweb\n", ["old"]),
    (["web\u00a0", "old"], "label\nweb\n", ["old"]),
    (["\u212b", "old"], "label\n\u00c5\n", ["old"]),
    (["TRUE", "1e3", "old"], "label\nTRUE\n1e3\n", ["old"]),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "text", "deleted"), PRUNED, ids=lambda value: repr(value)[:40])
def test_a2_prune(
    labels: list[str], text: str, deleted: list[str], tmp_path: Path, settings: Settings
) -> None:
    """What the file names stays, as a person reads it; `drift` finds the same as the plan."""
    box = prepared(*labels)
    lc = client(box, settings)
    desired = fleet_file.read_fleet(fleet(tmp_path / "f.csv", text))
    changes = lc.plan(desired, prune=True, max_delete_percent=50)
    assert planned(changes) == [("delete instance", label) for label in deleted]
    found = fleet_file.find_differences(changes, desired, lc.inventory())
    assert found[["label", "what"]].values.tolist() == [[label, "not in the file"] for label in deleted]


def test_a2_comment_or_machine(tmp_path: Path, settings: Settings) -> None:
    """A line that may be a comment or a machine decides no deletion."""
    lc = client(prepared("#db", "web"), settings)
    desired = fleet_file.read_fleet(fleet(tmp_path / "f.csv", "label,state\n#db,off\nweb,\n"))
    with pytest.raises(InputError, match=r'"#db"'):
        lc.plan(desired, prune=True)
    assert planned(lc.plan(desired)) == []


# --- an empty desired state -----------------------------------------------------------------------------

EMPTY_FILES = {
    "header only": "label,location\n",
    "all commented": "label\n#web\n# old\n",
    "blank rows": "label,state\n,\n\n , \n",
    "blank rows of Excel": "label;state\n;\n;;\n",
    "header with a mark": "\ufefflabel\n",
}
UNREADABLE_FILES: dict[str, str | bytes] = {
    "empty": "",
    "only blanks": "\n\n ,\n",
    "header commented": "#label\n#web\n",
    "UTF-16": "label\nweb\n".encode("utf-16"),
    "Windows-1252": "label\ns\u00e3o\n".encode("cp1252"),
    "no label": "name\nweb\n",
    "zero bytes": b"\0" * 40,
}


@pytest.mark.parametrize("name", EMPTY_FILES)
def test_a3_empty_file(name: str, tmp_path: Path, settings: Settings) -> None:
    """A file without a row is refused with prune, in the API and in `drift`, unless it is said in so many words."""
    box = prepared("web", "old")
    lc = client(box, settings)
    path = fleet(tmp_path / "f.csv", EMPTY_FILES[name])
    desired = fleet_file.read_fleet(path)
    with pytest.raises(InputError, match=r"no rows, and prune would delete every machine.*allow_delete_all"):
        lc.plan(desired, prune=True)
    with pytest.raises(InputError, match="would delete every machine"):
        run_cells("drift", lc, tmp_path / "run", {"fleet": str(path), "prune": True})
    assert planned(lc.plan(desired)) == []
    changes = lc.plan(desired, prune=True, allow_delete_all=True)
    assert sorted(planned(changes)) == [("delete instance", "old"), ("delete instance", "web")]


@pytest.mark.parametrize("name", [*UNREADABLE_FILES, "missing", "folder"])
def test_a3_unreadable_file(name: str, tmp_path: Path, settings: Settings) -> None:
    """A file that cannot be read as a fleet never prunes, not even when deleting everything is allowed."""
    lc = client(prepared("web", "old"), settings)
    path = tmp_path / "f.csv"
    if name == "folder":
        path.mkdir()
    elif name != "missing":
        fleet(path, UNREADABLE_FILES[name])
    given = {"fleet": str(path), "prune": True, "allow_delete_all": True}
    with pytest.raises(InputError, match=r"f\.csv"):
        run_cells("drift", lc, tmp_path / "run", given)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"label": []}),
        pd.DataFrame(columns=["label", "state"]),
        pd.DataFrame(),
        pd.DataFrame({"label": ["web"], "state": ["off"]}).query("state == 'on'"),
        pd.DataFrame({"label": pd.Series([], dtype="str")}),
    ],
    ids=range(5),
)
def test_a3_empty_frame(frame: pd.DataFrame, settings: Settings) -> None:
    """A frame that holds nothing, or was filtered to nothing, deletes nothing."""
    box = prepared("web", "old")
    lc = client(box, settings)
    with pytest.raises(InputError, match="would delete every machine"):
        lc.plan(frame, prune=True)
    for no_flag in (None, "yes", 1):
        with pytest.raises(InputError, match="allow_delete_all: expected True or False"):
            lc.plan(frame, prune=True, allow_delete_all=no_flag)  # type: ignore[arg-type]
    assert [entry for entry in box.log if entry["method"] != "GET"] == []


def test_a3_another_account(settings: Settings) -> None:
    """A fleet that names no machine of the account is another one's: it does not delete all of this one."""
    lc = client(prepared("web", "old"), settings)
    other = pd.DataFrame([{"label": "other-01", **NEW}])
    with pytest.raises(
        InputError, match=r"names no machine of the account, and prune would delete every machine"
    ):
        lc.plan(other, prune=True)
    assert len(lc.plan(other, prune=True, allow_delete_all=True)) == 3


#: Machines, machines that the desired state does not name, the limit (None: the default), what is refused.
SHARES: list[tuple[int, int, float | None, str]] = [
    (10, 2, None, ""),
    (10, 3, None, r"delete 3 of 10 machines \(30 %\), more than 20 %: m0, m1, m2.*max_delete_percent=30 .*--max-delete 30"),
    (9, 2, None, r"2 of 9 machines \(22.2 %\).*max_delete_percent=23"),
    (9, 2, 23, ""),
    (8, 7, None, r"\(87.5 %\), more than 20 %: m0, m1, m2, m3, m4 and 2 more"),
    (8, 7, 100, ""),
    (10, 1, 0, r"1 of 10 machines \(10 %\), more than 0 %"),
    (10, 0, 0, ""),
]  # fmt: skip


@pytest.mark.parametrize(("machines", "others", "limit", "refusal"), SHARES)
def test_prune_share(
    machines: int, others: int, limit: float | None, refusal: str, settings: Settings
) -> None:
    """Prune deletes at most 20 % of the machines; more is refused with the numbers, unless a limit allows it."""
    box = prepared(*[f"m{number}" for number in range(machines)])
    lc = client(box, settings)
    desired = pd.DataFrame({"label": [f"m{number}" for number in range(others, machines)]})
    given = {} if limit is None else {"max_delete_percent": limit}
    if refusal:
        with pytest.raises(InputError, match=f"(?s){refusal}.*Nothing was sent"):
            lc.plan(desired, prune=True, **given)  # type: ignore[arg-type]
        assert len(lc.plan(desired, prune=True, allow_delete_all=True)) == others
    else:
        assert len(lc.plan(desired, prune=True, **given)) == others  # type: ignore[arg-type]
    assert len(lc.plan(desired, **given)) == 0  # type: ignore[arg-type]
    assert [entry for entry in box.log if entry["method"] != "GET"] == []


@pytest.mark.parametrize("value", ["20", True, None, -1, 100.5, float("nan")])
def test_prune_share_refuses(value: object, settings: Settings) -> None:
    """A limit that is no number of percent is refused."""
    with pytest.raises(InputError, match="max_delete_percent: expected a number from 0 to 100"):
        client(prepared("web"), settings).plan(pd.DataFrame({"label": ["web"]}), max_delete_percent=value)  # type: ignore[arg-type]


def test_a3_no_readable_label(settings: Settings) -> None:
    """A machine without a label, or one that is being built, is left alone and reported."""
    box = prepared("web", "", "old")
    box.world.machines[2]["identifier"] = ""
    changes = client(box, settings).plan(pd.DataFrame({"label": ["web"]}), prune=True)
    assert planned(changes) == []
    assert [note.partition(": ")[2][:11] for note in changes.notes] == ["it has no l", "it is still"]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a3_command(command: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands refuse an empty file with --prune, whatever --yes says; the option that allows it is named."""
    path = str(fleet(tmp_path / "f.csv", "label\n#web\n"))
    yes = ["--yes"] if command == "apply" else []
    box = prepared("web", "old")
    with serve_in_thread(box) as url:
        monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
        monkeypatch.setenv("LCNB_BASE_URL", url)
        refused = call(command, path, "--prune", *yes)
        assert (refused.code, "--allow-delete-all" in refused.err) == (2, True)
        assert call(command, str(tmp_path / "f2.csv"), "--prune", *yes).code == 2
        assert [entry for entry in box.log if entry["method"] != "GET"] == []
        allowed = call("plan", path, "--prune", "--allow-delete-all")
        assert (allowed.code, allowed.out.count("delete instance")) == (0, 2)
        half = str(fleet(tmp_path / "f3.csv", "label\nweb\n"))
        refused = call(command, half, "--prune", *yes)
        assert (refused.code, "delete 1 of 2 machines (50 %)" in refused.err) == (2, True)
        assert [entry for entry in box.log if entry["method"] != "GET"] == []
        assert call(command, half, "--prune", "--max-delete", "200", *yes).code == 2
        assert call(command, half, "--prune", "--max-delete", "50", *yes).code == 0


def test_d6_column_twice(settings: Settings) -> None:
    """A frame with a column twice is refused: one of them would count in silence."""
    lc = client(prepared("web", "old"), settings)
    with pytest.raises(InputError, match="the column 'label' is there twice"):
        lc.plan(pd.DataFrame([["web", "old"]], columns=["label", "label"]), prune=True)


# --- one name, however it is written --------------------------------------------------------------------

SPELLINGS = [
    (COMPOSED, DECOMPOSED),
    (DECOMPOSED, COMPOSED),
    ("web-01 ", "web-01"),
    ("caf\u00e9-01", " cafe\u0301-01"),
    ("node-\uac00", "node-\u1100\u1161"),
]


#: A label, and what a spreadsheet makes of it when it saves the fleet file.
OF_SPREADSHEETS = [
    ("007", "7"), ("1e5", "1,00E+05"), ("1e5", "100000"), ("7", "7.0"), ("3.10", "3,1"), ("007", '="007"'), ("007", "'007"),
    ("12345678901234567890", "1.23457E+19"), ("TRUE", "WAHR"), ("FALSE", "falso"), ("2026-11-30", "30/11/2026"),
    ("2026-11-30", "11/30/26"), ("1-2", "01/fev"), ("1-2", "02-Jan"), ("mar-01", "01/mar"), ("1.2.3", "01.02.03"),
]  # fmt: skip


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize(("live", "written"), OF_SPREADSHEETS)
def test_what_a_spreadsheet_makes_of_a_label(
    live: str, written: str, prune: bool, settings: Settings
) -> None:
    """No machine is made, and none deleted, for a label that a spreadsheet has taken for a number, a date or a truth."""
    lc = client(prepared(live, "b", "c", "d", "e"), settings)
    rows = [{"label": written, **NEW}, *({"label": each, **dict.fromkeys(NEW)} for each in "bcde")]
    with pytest.raises(
        InputError, match=r"has no row: a spreadsheet makes one of the other.*Nothing was sent"
    ):
        lc.plan(pd.DataFrame(rows), prune=prune)
    both = [*rows, {"label": live, **dict.fromkeys(NEW)}]
    assert planned(lc.plan(pd.DataFrame(both), prune=prune)) == [("create instance", written)]


@pytest.mark.parametrize(
    ("live", "written"),
    [("1-2", "2-1"), ("20261101", "20261102"), ("marketing-01", "market-1"), ("v1", "v2"), ("7", "8"), ("10.0.0.1", "10.0.1")],
)  # fmt: skip
def test_other_labels_with_numbers(live: str, written: str, settings: Settings) -> None:
    """Labels of the same shape, and words that only begin as a month, are names that people chose."""
    lc = client(prepared(live, "b", "c", "d", "e"), settings)
    rows = [{"label": written, **NEW}, *({"label": each, **dict.fromkeys(NEW)} for each in "bcde")]
    assert planned(lc.plan(pd.DataFrame(rows), prune=True)) == [
        ("create instance", written),
        ("delete instance", live),
    ]


@pytest.mark.parametrize(
    ("live", "written"),
    [
        ("db\u2764", "db\u2764\ufe0f"),
        ("db-one", "db\u2011one"),
        ("db  one", "db one"),
        ("Web-01", "web-01"),
        ("ﬁle", "file"),
    ],
)
def test_a5_look_alike(live: str, written: str, settings: Settings) -> None:
    """With prune no machine is deleted and made anew for a label that people take for the same."""
    lc = client(prepared(live, "old"), settings)
    desired = pd.DataFrame([{"label": written, **NEW}, {"label": "old", **dict.fromkeys(NEW)}])
    with pytest.raises(InputError, match=r"would be deleted and .* made: their labels differ in case"):
        lc.plan(desired, prune=True)
    assert [action for action, _ in planned(lc.plan(desired))] == ["create instance"]


@pytest.mark.parametrize(("live", "written"), SPELLINGS)
def test_a5_one_name(live: str, written: str, settings: Settings, tmp_path: Path) -> None:
    """However a label is written, it is the machine's: found, never made again, never deleted for another."""
    box = prepared(live, "old")
    lc = client(box, settings)
    name = written.strip()
    desired = pd.DataFrame([{"label": written, **NEW, "hostname": None, "state": "off"}])
    changes = lc.plan(desired.assign(location=None, plan=None, image=None), prune=True, max_delete_percent=50)
    assert [action for action, _ in planned(changes)] == ["power off", "delete instance"]
    with pytest.raises(InputError, match="a machine of this label exists"):
        lc.create_instance(name, **NEW)
    with pytest.raises(InputError, match="exists, but"):
        lc.ensure_instance(name, location="LON1", plan=NEW["plan"], image=NEW["image"])
    assert lc.instance(label=written).identifier == box.world.machines[0]["identifier"]
    for method in (lc.power_off, lc.shutdown, lc.reboot, lc.reset_password, lc.delete_instance):
        assert method(label=written)[0].identifier == box.world.machines[0]["identifier"]
    assert len(lc.create_snapshot(of=written, label="kept")) == 1
    inventory = lc.inventory()
    assert len(select(inventory, f"label == {written!r}")) == 1
    assert len(select(inventory, f"label in [{written!r}]")) == 1
    assert len(select(inventory, f"label.str.startswith({name!r})")) == 1
    assert len(targets.find_by_label(inventory, [written])) == 1
    targets.check_typed_again([live], [written])
    with pytest.raises(InputError, match="is given twice"):
        targets.find_by_label(inventory, [live, written])
    with pytest.raises(InputError, match="twice"):
        lc.plan(pd.DataFrame({"label": [live, written]}))


@pytest.mark.parametrize("labels", ["web", "", b"web", None, {"web": 1}, ["web", 3], 5])
def test_no_list_of_labels(labels: Any, settings: Settings) -> None:
    """What is no list of texts names no machines: the letters of a text are not taken for labels."""
    box = prepared("w", "e", "b")
    inventory = client(box, settings).inventory()
    with pytest.raises(InputError, match=r"^labels: expected a list of labels, .* Nothing was sent\.$"):
        targets.find_by_label(inventory, labels)
    with pytest.raises(InputError, match=r"^labels: expected a list of labels"):
        targets.check_typed_again(labels, labels)
    with pytest.raises(InputError, match=r"^confirm_labels: expected a list of labels"):
        targets.check_typed_again(["w"], labels)
    targets.check_typed_again(("w", "e"), ["e", "w"])


def test_a5_file_names_it_twice(tmp_path: Path) -> None:
    """Two spellings of a label in one file are one label twice."""
    path = fleet(tmp_path / "f.csv", f"label\n{COMPOSED}\n{DECOMPOSED}\n")
    with pytest.raises(InputError, match=r"line 3: the label .* is already in line 2"):
        fleet_file.read_fleet(path)


def test_a5_typed_confirmation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that is typed in another spelling confirms; another label does not."""
    from lcnb.changes import changeset as module

    lc = client(prepared(COMPOSED, "old"), settings)
    one = lc.delete_instance(label=COMPOSED)
    for typed, expected in ((DECOMPOSED, True), (f" {COMPOSED} ", True), ("old", False), ("", False)):
        monkeypatch.setattr("builtins.input", lambda prompt, typed=typed: typed)
        assert module.prompt_confirmation(one) is expected


def test_a5_apply_looks_again(settings: Settings) -> None:
    """A machine that came meanwhile under another spelling stops a create; the journal knows both spellings as one."""
    box = prepared("old")
    lc = client(box, settings)
    first, second = lc.create_instance(DECOMPOSED, **NEW), lc.create_instance(COMPOSED, **NEW)
    with pytest.raises(InputError, match="twice"):
        first + second
    assert first.apply(confirm=True).outcome.tolist() == ["done"]
    with pytest.raises((Drifted, AlreadyApplied)):
        second.apply(confirm=True)
    assert len(box.world.machines) == 2


def test_a5_journal(tmp_path: Path) -> None:
    """The journal refuses a create whose label another ChangeSet is making, in whatever spelling."""
    journal = Journal(tmp_path)

    def entry(changeset: str, label: str) -> JournalEntry:
        return JournalEntry(changeset, 0, "planned", "create instance", label, "POST", "/instances", {}, {})

    journal.begin("first", [entry("first", DECOMPOSED)], account="lab", base_url="https://x")
    for label in (COMPOSED, DECOMPOSED, f"{COMPOSED} "):
        with pytest.raises(AlreadyApplied, match="ChangeSet first"):
            journal.begin("second", [entry("second", label)], account="lab", base_url="https://x")
    journal.begin("third", [entry("third", "erp-sao")], account="lab", base_url="https://x")


def test_a5_passwords_by_label(settings: Settings, tmp_path: Path) -> None:
    """A typed password is found for its label in either spelling when a saved plan is loaded."""
    lc = client(prepared("old"), settings)
    password = Secret("Correct-Horse-1!")
    path = lc.create_instance(COMPOSED, **NEW, password=password).save(tmp_path / "plan.json")
    loaded = lc.load_changes(path, passwords={DECOMPOSED: password})
    assert (loaded[0].call.body or {})["password"] == password


def test_a5_rotation(settings: Settings) -> None:
    """A snapshot of the rotation is known in either spelling: none is made twice, the oldest ones are found."""
    box = prepared(COMPOSED)
    lc = client(box, settings)
    title = rotation.rotation_title
    snapshots = pd.DataFrame(
        {
            "label": [
                title(DECOMPOSED, "2026-01-01"),
                title(COMPOSED, "2026-01-02"),
                title(DECOMPOSED, "2026-01-03"),
            ],
            "slug": ["a", "b", "c"],
            "build": True,
        }
    )
    (due,) = rotation.plan_rotation(lc.inventory(), snapshots, 2, "2026-01-03").to_dict("records")
    assert (due["there"], due["surplus"]) == (True, ["a"])


# --- files in other encodings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("Correct-Horse-1!", None),
        ("\ufeffCorrect-Horse-1!\r\n", None),
        ("Correct-Horse-1\u20ac".encode("cp1252"), "line 1 is not UTF-8"),
        ("Correct-Horse-1!".encode("utf-16"), "it is UTF-16 text"),
        ("Correct-Horse-1!".encode("utf-16-le"), "it is UTF-16 text"),
        ("Corr\u00eact-Horse-1!".encode("latin-1"), "line 1 is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_d8_password_file(
    content: str | bytes | None,
    problem: str | None,
    call: Call,
    account_env: Any,
    tmp_path: Path,
) -> None:
    """A password file in another encoding is one line that says so, and shows nothing of it; a mark is left out."""
    path = tmp_path / "p"
    if content is not None:
        fleet(path, content)
    done = call("create", "new-one", *(f"--{name}={value}" for name, value in NEW.items()), "--password-file", str(path), "--dry-run")  # fmt: skip
    assert (done.code, "Horse" in done.err + done.out) == (2 if problem else 0, False)
    assert "Traceback" not in done.err
    assert (problem or "") in done.err


def test_d8_password_of_stdin(call: Call, account_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in on stdin in another encoding is one line too."""
    stdin = io.TextIOWrapper(io.BytesIO(b"Correct-Horse-1\xe9\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    done = call("create", "new-one", *(f"--{name}={value}" for name, value in NEW.items()), "--password-file", "-", "--dry-run")  # fmt: skip
    assert (done.code, "is not utf-8 text" in done.err, "Horse" in done.err) == (2, True, False)


@pytest.mark.parametrize(
    ("encoding", "problem"), [("utf-8-sig", None), ("utf-16", "it is UTF-16 text"), ("utf-8", None)]
)
def test_d8_public_key(
    encoding: str, problem: str | None, call: Call, account_env: Any, tmp_path: Path
) -> None:
    """A public key with a byte order mark is read; one in UTF-16, as PowerShell writes it, names the cure."""
    from lcnb.changes.build import create_key_pair

    path = fleet(tmp_path / "key.pub", (create_key_pair("ed25519")[0] + "\r\n").encode(encoding))
    done = call("key", "add", "Laptop of Ana", str(path), "--dry-run")
    assert done.code == (2 if problem else 0), done.err
    assert (problem or "") in done.err


def test_desired_state_is_a_frame(settings: Settings) -> None:
    """What is no DataFrame is refused by its type."""
    lc = client(prepared("web-01"), settings)
    with pytest.raises(InputError, match="expected a DataFrame, got list"):
        lc.plan([{"label": "web-01"}])  # type: ignore[arg-type]
