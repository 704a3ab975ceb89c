"""A runbook as a form: its parameters are the fields, a run (a process of its own) is what it does.

    EDIT ─ review ─→ BUSY ─→ DONE | FAILED                    a runbook that changes nothing
    EDIT ─ review ─→ BUSY ─→ CONFIRM ─ confirm ─→ BUSY ─→ …   one that writes: a dry run, then what it planned
                              UNKNOWN ─ resume ─→ BUSY ─→ …   a change of it has no outcome: `lcnb resume RUN`

`Form` has the rest: an edit in CONFIRM voids the plan, and whoever clicks twice finds the form BUSY. A run with
`dry_run=False` begins by `confirm` alone, from the dry run's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb import python_process
from lcnb.changes.changeset import ChangeSet
from lcnb.config import resolve
from lcnb.errors import InputError, LcnbError
from lcnb.folders import runs_dir
from lcnb.runbooks.batch import child
from lcnb.runbooks.batch.child import Local
from lcnb.runbooks.effects import PLANNED, made_by, planned_by
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.records.resume import ENDED_WELL, Recorded
from lcnb.secret import mask
from lcnb.widgets.form import Choice, Effects, Field, Form, Phase, Run, Spec, Values, _look, told

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.config import Settings
    from lcnb.runbooks.notebook.find import Runbook

#: Whose account it is says the client, and the form makes the dry run itself.
NOT_ASKED = ("account", "dry_run")


@dataclass(frozen=True)
class Ended:
    """How a run ended, as its record tells it; `planned` has what a dry run would change."""

    status: str
    exit_code: int
    error: str = ""
    folder: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    planned: ChangeSet | None = None
    #: What was begun, by this run and those that it goes on with, with the outcomes that the journal has now.
    made: Sequence[Mapping[str, Any]] = ()

    @property
    def attention(self) -> list[str]:
        """What the notebook wants somebody to look at."""
        return [str(each["text"]) for each in self.facts.get("attention", [])]

    @property
    def unknown(self) -> int:
        """How many changes were sent and have no outcome."""
        return sum(each["outcome"] == "unknown" for each in self.made)

    @property
    def report(self) -> Path | None:
        """The report's file, where there is one."""
        path = self.folder / "report.html" if self.folder else None
        return path if path and path.is_file() else None


# --- the form -------------------------------------------------------------------------------------------


class RunForm(Form):
    """The form of one runbook. `review` starts a run, a dry one if the runbook writes; `confirm` applies that."""

    voided = "An answer was changed: the plan is void. Make another dry run."

    def __init__(self, book: Runbook) -> None:
        self.book = book
        self.writes = any(each.name == "dry_run" for each in book.parameters)
        self._run: Run | None = None
        super().__init__(spec_of(book, "Dry run" if self.writes else "Run"))

    def _review(self) -> Effects:
        """What there is to propose may still be on its way: the run checks the values itself."""
        self._all_checked = True
        errors = self._errors()
        if errors:
            self._show(notice=_look(len(errors)), alert=True)
            return ()
        values = self.shown.values
        needed = {each.name for each in self.book.parameters if each.required}
        given = {
            name: value
            for name, value in values.items()
            if name in needed or value != self.fields[name].default
        }
        if self.writes:
            given["dry_run"] = True
        return self._begin(Run(given, Local()))

    def confirm(self) -> Effects:
        """Make what the dry run planned: once, and nothing else."""
        with self._event():
            ended = self.shown.run
            if not self.shown.unlocked or not isinstance(ended, Ended) or ended.folder is None:
                return ()
            return self._begin(Run({}, Local(), plan=ended.folder))

    def resume(self) -> Effects:
        """Have what is unknown settled, and the rest of the runbook carried out, as `lcnb resume RUN` does."""
        with self._event():
            ended = self.shown.run
            if self.shown.phase is not Phase.UNKNOWN or not isinstance(ended, Ended) or ended.folder is None:
                return ()
            return self._begin(Run({}, Local(), resumes=ended.folder), "looking at the account")

    def _begin(self, run: Run, text: str = "starting the kernel") -> Effects:
        self._run = run
        self._show(phase=Phase.BUSY, progress=(0, 0, text), notice="", alert=False, stopped=False)
        return (run,)

    def cell(self, run: Run, done: int, total: int, title: str) -> Effects:
        """A cell begins, after so many that are done."""
        with self._event():
            if run is self._run and self.shown.phase is Phase.BUSY:
                self._show(progress=(done, total, title))
            return ()

    def stop(self) -> Effects:
        """End the run as Ctrl-C would; asked again, kill it. The form stays busy until the run has ended."""
        with self._event():
            if self._run is not None and self.shown.phase is Phase.BUSY:
                stop = self._run.stop
                (stop.now if stop.asked() else stop.stop).set()
                text = "Stopping: the run writes down what it did."
                if stop.now.is_set():
                    text = "Killing the run."
                self._show(stopped=True, notice=text, alert=False)
            return ()

    def run_ended(self, run: Run, ended: Ended) -> Effects:
        """How it ended. A dry run that planned something is followed by the question whether to make it."""
        with self._event():
            if run is not self._run or self.shown.phase is not Phase.BUSY:
                return ()
            self._run = None
            if self._refuses(ended):
                return ()
            planned = ended.planned
            if run.dry and planned is not None and len(planned) and ended.status in ENDED_WELL:
                self._show(
                    phase=Phase.CONFIRM, changes=planned, challenge=planned.challenge, typed="", run=ended,
                    notice="A dry run: nothing was changed yet.", alert=False, changeset=planned.id,
                )  # fmt: skip
                return ()
            phase = Phase.DONE if ended.status in ENDED_WELL else Phase.FAILED
            if ended.unknown:
                phase = Phase.UNKNOWN
            self._show(
                phase=phase, run=ended, notice=_told(self, run, ended), alert=ended.status != "done",
                changes=None, stopped=False,
            )  # fmt: skip
            return ()

    def _refuses(self, ended: Ended) -> bool:
        """A value that the account does not know is told at its field."""
        found = re.match(r"parameter (\w+): ", ended.error) if ended.status == "refused" else None
        if found is None or found[1] not in self.shown.asked:
            return False
        name = found[1]
        self._back_to_edit()
        self._refusals[name] = (self.shown.values[name], _short(name, ended.error))
        self._show(notice=_look(1), alert=True)
        return True

    def run_failed(self, run: Run, error: BaseException) -> Effects:
        """It could not be started, or how it ended could not be read."""
        with self._event():
            if run is self._run:
                self._run = None
                self._show(phase=Phase.FAILED, notice=told(error), alert=True, changes=None, stopped=False)
            return ()

    def again(self) -> Effects:
        """Back to the answers, which stay; what there is to propose is read again."""
        with self._event():
            if self.shown.phase is Phase.BUSY:
                return ()
            self._back_to_edit()
            return self._loads(lambda each: True)


def _told(form: RunForm, run: Run, ended: Ended) -> str:
    name = form.book.name
    if ended.unknown:
        many = (
            f"{ended.unknown} of {len(ended.made)} changes have" if len(ended.made) > 1 else "The change has"
        )
        return (
            f"{many} no known outcome: it may have happened. “Look again” settles that, sends nothing twice, and goes "
            f"on with what is left, as lcnb resume {ended.folder.name if ended.folder else ''} does."
        )
    if ended.status == "interrupted":
        return f"Stopped: {name} was interrupted. What it did until then stands in its folder."
    if ended.status not in ENDED_WELL:
        first = (ended.error.strip().splitlines() or ["no reason was told"])[0]
        return f"{name} ended as {ended.status}, exit code {ended.exit_code}: {first}"
    if ended.status == "attention":
        return f"{name} is done, and asks for attention: {'; '.join(ended.attention)}"
    if not run.dry:
        count = len(ended.made)
        return f"Done: {count} change{'s' if count != 1 else ''} made."
    return "Done: nothing to change." if form.writes else f"Done: {name}."


# --- parameters as fields -------------------------------------------------------------------------------


def spec_of(book: Runbook, verb: str) -> Spec:
    """The form's questions: each parameter but the account, and `dry_run`."""
    known: dict[str, list[str]] = {}
    fields = tuple(_field(each, known) for each in book.parameters if each.name not in NOT_ASKED)
    return Spec(f"run_{book.name}", book.title, fields, _builds_nothing, book.purpose, verb)


def _builds_nothing(client: Any, values: Values, secrets: Any) -> ChangeSet:
    raise InputError("a runbook's changes come from its dry run. Nothing was sent.")


def _field(parameter: declared.Parameter, known: dict[str, list[str]]) -> Field:
    name, kind = parameter.name, declared.ACCOUNT_KINDS.get(parameter.name)
    default = _default(parameter)
    about: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "help": _help(parameter),
        "default": default,
        "required": parameter.required or not _may_be_empty(parameter),
    }
    values = [str(value) for value in _literals(parameter.type)]
    if parameter.type.kind == "bool":
        return Field(kind="flag", **about)
    if values:
        none = [Choice("", "none")] if not about["required"] else []
        return Field(kind="choice", choices=(*none, *(Choice(each, each) for each in values)), **about)

    def check(value: Any, others: Values) -> None:
        if value == default:
            return
        try:
            declared.check((parameter,), {name: value}, known.get)
        except InputError as wrong:
            raise InputError(_short(name, str(wrong))) from None

    if kind is None:
        return Field(check=check, **about)

    def load(client: LetsCloud, others: Values) -> list[Choice]:
        from lcnb.runbooks.run import known_values

        known[kind] = known_values(client, kind)
        return [Choice(each, each) for each in known[kind]]

    several = any(part.kind in ("list", "set", "tuple") for part in (parameter.type, *parameter.type.parts))
    return Field(kind="suggest", check=check, load=load, several=several, **about)


def _literals(of: declared.Type) -> tuple[Any, ...]:
    """The values of a type that has no others, None aside."""
    parts = of.parts if of.kind == "union" else (of,)
    if any(part.kind not in ("literal", "none") for part in parts):
        return ()
    return tuple(value for part in parts for value in part.values if value is not None)


def _default(parameter: declared.Parameter) -> Any:
    """The default as a person would type it; empty where it is None, or told only by running the cell."""
    value = parameter.default
    if parameter.type.kind == "bool":
        return bool(value) if isinstance(value, bool) else False
    if isinstance(value, list) and all(isinstance(each, str) and "," not in each for each in value):
        return ", ".join(value)
    if isinstance(value, list | dict):
        return json.dumps(declared.recordable(value))
    return str(value) if isinstance(value, str | int | float) else ""


def _may_be_empty(parameter: declared.Parameter) -> bool:
    if parameter.name == declared.SELECTION:
        return False  # no machine: nobody asks for that
    if parameter.type.kind == "bool" or _default(parameter) == "":
        return True
    with suppress(InputError):
        declared.check((parameter,), {parameter.name: ""})
        return True
    return False


def _help(parameter: declared.Parameter) -> str:
    """What it means; its type too, where the control does not show it."""
    kinds = {each.kind for each in (parameter.type, *parameter.type.parts)}
    if kinds <= {"bool", "str", "any", "none", "union"} or _literals(parameter.type):
        return parameter.help
    return f"{parameter.help} ({parameter.type_text})".strip()


def _short(name: str, text: str) -> str:
    """A refusal as it stands below its field: without the field's name and help."""
    text = text.removeprefix(f"parameter {name}: ").removesuffix("Nothing was started.").strip()
    return text.partition(" It means: ")[0]


# --- the run --------------------------------------------------------------------------------------------


def carry_out(
    book: Runbook, run: Run, client: LetsCloud, progress: Callable[[int, int, str], object]
) -> Ended:
    """Start the run as a process of its own, wait for its end, and read its record."""
    account, env = _travels(client.settings)
    if run.resumes is not None:
        return _go_on(run.resumes, run.stop, client, env)
    task = {
        "row": 1,
        "runbook": str(book.path),
        "sha256": hashlib.sha256(book.path.read_bytes()).hexdigest(),
        "parameters": {name: _by_type(book, name, value) for name, value in run.given.items()},
        "account": account,
        "runs_dir": str(runs_dir().absolute()),
        "confirm": False,
        "previous": None,
        "plan": str(run.plan) if run.plan else None,
        "lock_wait": 0,
    }
    result = child.run_row(task, env, run.stop, progress)
    if result["status"] == child.NOT_STARTED:
        return Ended("interrupted", 143, "stopped before it began")
    return _read(result, client, dry=run.dry)


def _by_type(book: Runbook, name: str, value: Any) -> Any:
    """What was typed for a parameter without a type has the type that it looks like, as on a command line."""
    parameter = next((each for each in book.parameters if each.name == name), None)
    if parameter is None or parameter.type.kind != "any" or not isinstance(value, str):
        return value
    return declared.check((parameter,), {name: declared.Written(value)})[name]


def _go_on(broken: Path, stop: Any, client: LetsCloud, env: Mapping[str, str | None]) -> Ended:
    """`lcnb resume RUN`: what has no outcome is settled, then the notebook runs again and makes what is left."""
    beside = {**os.environ, **env, "LCNB_RUNS_DIR": str(runs_dir().absolute())}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            python_process.command("lcnb", "resume", str(broken), "--yes"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            env={name: text for name, text in beside.items() if text is not None},
            start_new_session=True,
        )
        with process:
            child._wait(process, stop, lambda: None)
        words.seek(0)
        said = mask(words.read()[-4000:].decode("utf-8", "replace"), client.settings.token).strip()
    told: dict[str, Any] = {"folder": broken, "status": "failed", "error": said}
    for record in sorted(runs_dir().glob("*/run.json"), reverse=True):
        with suppress(InputError):
            facts = Recorded.read(record.parent).facts
            if broken.name in facts.get("resumes", []):
                told = {"folder": record.parent, "status": facts["status"], "error": _why(facts)}
                break
    return _read(told | {"exit_code": process.returncode}, client, dry=False)


def _why(facts: Mapping[str, Any]) -> str:
    """Why a run did not end well, by its record."""
    cell = facts.get("failed_cell")
    failed = f"cell {cell['number']} failed: {cell['ename']}: {cell['evalue']}" if cell else ""
    return "; ".join(filter(None, (facts.get("reason"), failed)))


def _travels(settings: Settings) -> tuple[str | None, dict[str, str | None]]:
    """The account by its name where that gives the same settings; else the token, in the environment alone."""
    if settings.account is not None:
        with suppress(LcnbError):
            same = resolve(settings.account)
            if (same.base_url, same.token.reveal()) == (settings.base_url, settings.token.reveal()):
                return settings.account, {}
    return None, child.environment(settings)


def _read(result: Mapping[str, Any], client: LetsCloud, dry: bool) -> Ended:
    folder = Path(result["folder"]) if result["folder"] else None
    if folder is None:
        return Ended(result["status"], result["exit_code"], result["error"] or "")
    facts = dict(Recorded.read(folder).facts)
    planned, made = None, []
    if not dry:
        runs = [*(folder.parent / name for name in facts.get("resumes", [])), folder]
        made = [each for run in runs for each in made_by(run, client.settings) if each["outcome"] != PLANNED]
    elif facts["status"] in ENDED_WELL:
        planned = planned_by(folder, client)
    return Ended(result["status"], result["exit_code"], result["error"] or "", folder, facts, planned, made)
