"""What a notebook calls: `lcnb.run()` returns the run that the notebook belongs to.

Under `lcnb run`, files are saved in the folder of the run, and attention notes and checks in its record and report.
Under plain papermill, in JupyterLab or in a script no run exists: the same calls save into the working directory
(`run.log`, `notes.jsonl`).
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from lcnb.errors import InputError
from lcnb.files import write_atomically
from lcnb.notebook_kernel import is_in_kernel
from lcnb.runbooks.environment import CONFIRM_VARIABLE, RESUMES_VARIABLE, RUN_FOLDER_VARIABLE
from lcnb.runbooks.records import notes
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.apply import SyncChangeSet
    from lcnb.changes.changeset import OnError
    from lcnb.changes.tasks import Wait

TABLE_FORMATS = ("parquet", "csv")
#: Precedes the text of a failed check that has no text of its own for the failure.
FAILED_PREFIX = "failed: "

#: The notes that this process has recorded, by folder.
_NOTES_BY_FOLDER: dict[Path, list[notes.Note]] = {}


@dataclass(frozen=True)
class RunContext:
    """The run that a notebook belongs to: its folder, and methods that save files, notes and changes there.

    >>> import lcnb
    >>> lcnb.run().folder.is_dir()
    True
    """

    folder: Path
    #: "yes", or the folder of an approved dry run. Empty: `apply` asks the user, or refuses where nobody can answer.
    confirmed: str = ""
    #: The ids of the runs that this run resumes.
    resumes: tuple[str, ...] = ()

    def apply(
        self,
        changes: SyncChangeSet,
        *,
        dry_run: bool,
        name: str = "changes",
        wait: Wait = True,
        timeout: float | None = None,
        on_error: OnError = "stop",
        allow_fewer: bool = False,
    ) -> pd.DataFrame:
        """Show changes, save them next to the report, and apply them unless this is a dry run.

        Args:
            changes: the changes, from a client of `lcnb.connect()`.
            dry_run: True: only show and save the changes. False: also apply them, when they are confirmed: by
                `lcnb run --yes`, by `lcnb apply RUN` for exactly the changes of a dry run, or by the user's answer.
            name: the name of the files `name.json`, `name.csv` and `name.parquet`. A runbook that applies several
                sets of changes gives each its own name.
            wait, timeout, on_error: as for `ChangeSet.apply`.
            allow_fewer: True: an approved dry run may have shown more changes than these, such as the deletion of a
                machine whose snapshot has failed since. False: then nothing is sent.

        Returns:
            The frame of the changes with the columns outcome ("not made" in a dry run), detail, tries and seconds.
            Changes that a resumed run has done are left out.

        Raises:
            ConfirmationMissing, Drifted, Locked: nothing was sent.
            ChangeFailed, WaitTimeout: some changes were not made, or not seen finished in time.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> made = lcnb.run().apply(lc.power_off(label="web-01"), dry_run=True)  # doctest: +ELLIPSIS
        action...
        A dry run: nothing was sent.
        >>> made.outcome.tolist()
        ['not made']
        """
        from lcnb.runbooks.effects import apply_changes

        return apply_changes(
            self,
            changes,
            dry_run=dry_run,
            name=name,
            wait=wait,
            timeout=timeout,
            on_error=on_error,
            allow_fewer=allow_fewer,
        )

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder of the run.

        `name` has letters, digits, `-` and `_`, and a suffix such as `.csv`. InputError for any other name.

        >>> import lcnb
        >>> lcnb.run().file("machines.csv").name
        'machines.csv'
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*\.\w+", name):
            raise InputError(f"{name!r} cannot name a file of the run: use only letters, digits, - and _")
        return self.folder / name

    def save(self, name: str, frame: pd.DataFrame, formats: Sequence[str] = TABLE_FORMATS) -> list[Path]:
        """Save a frame next to the executed notebook, as `name.parquet` and `name.csv`; return the paths.

        Each file is replaced in one step. InputError for an unknown format, or for a name with characters other than
        letters, digits, - and _. OSError when a file cannot be written.

        >>> import lcnb, pandas as pd
        >>> [path.name for path in lcnb.run().save("machines", pd.DataFrame({"n": [1]}), ["csv"])]
        ['machines.csv']
        """
        unknown = [each for each in formats if each not in TABLE_FORMATS]
        if unknown:
            raise InputError(f"unknown format {unknown[0]!r}; the formats are {', '.join(TABLE_FORMATS)}")
        return [write_atomically(self.file(f"{name}.{each}"), _encode_frame(frame, each)) for each in formats]

    def log(self, text: object) -> None:
        """Print a line with the time (UTC), and append it to `run.log`. OSError when it cannot be written.

        >>> import lcnb
        >>> lcnb.run().log("60 machines read")  # doctest: +ELLIPSIS
        20... 60 machines read
        """
        print_line(notes.append_log(self.folder, str(text)))

    def attention(self, text: object) -> None:
        """Ask for attention: the note is shown here, and saved in the record and at the top of the report.

        A run that ends well but asks for attention has status `attention` and exit code 8.

        >>> import lcnb
        >>> lcnb.run().attention("web-03 was building for two hours")
        ATTENTION: web-03 was building for two hours
        """
        _show_note(self._record_note(notes.Note(notes.utc_timestamp(), str(text))))

    def check(self, ok: object, ok_text: object, problem_text: object = None) -> bool:
        """Record a check and return whether it passed. A check that fails is shown and asks for attention.

        Args:
            ok: whether the check passed: true or false.
            ok_text: what is recorded when it passed, such as "No machine is suspended".
            problem_text: what is recorded when it failed: what was found, with numbers and units, such as "2 machines
                are suspended: web-01, db-02". Without it, or when it says the same as `ok_text`, "failed: " is put
                before `ok_text`, so a failed check never reads like a passed one.

        InputError when `ok` is neither true nor false, such as pandas.NA or a text, or when a text is empty.

        >>> import lcnb
        >>> days = 42
        >>> lcnb.run().check(days >= 30, f"The balance lasts {days} days", f"The balance lasts only {days} days")
        True
        """
        try:
            held = None if isinstance(ok, str) else bool(ok)  # the text "no" would hold
        except (TypeError, ValueError):
            held = None
        if held is None:
            raise InputError(f"check {str(ok_text)!r}: {ok!r} is neither true nor false")
        passed, failed = _check_texts(ok_text, problem_text)
        note = self._record_note(notes.Note(notes.utc_timestamp(), passed if held else failed, held))
        if not held:
            _show_note(note)
        return held

    def check_types(self, namespace: Mapping[str, Any]) -> None:
        """Raise ParameterError for a value that does not fit the declared type of its parameter.

        Refused are a number or a flag where a text, a date or a path is declared, a single value for a list, and a
        word that is not one of a Literal. Call it with `globals()`. jupyter-scheduler writes values into the notebook
        as they are typed: a date without quotes is a subtraction, and arrives as a number. papermill checks no value.

        >>> import lcnb
        >>> account: str | None = None
        >>> lcnb.run().check_types(globals())
        """
        from lcnb.runbooks.notebook.injected_values import check_types

        check_types(namespace)

    @property
    def attentions(self) -> list[str]:
        """The attention notes of this notebook, failed checks included, in order.

        >>> import lcnb
        >>> "web-09 is missing" in lcnb.run().attentions
        False
        """
        return notes.attention_texts(_NOTES_BY_FOLDER.get(self.folder, []))

    @property
    def checks(self) -> pd.DataFrame:
        """The checks of this notebook as a frame with the columns at (UTC), ok, and text (what was found).

        >>> import lcnb
        >>> list(lcnb.run().checks.columns)
        ['at', 'ok', 'text']
        """
        import pandas as pd

        checks = [note for note in _NOTES_BY_FOLDER.get(self.folder, []) if note.ok is not None]
        return pd.DataFrame(
            {
                "at": pd.to_datetime([note.at for note in checks], utc=True).astype("datetime64[us, UTC]"),
                "ok": pd.array([note.ok for note in checks], dtype="boolean"),
                "text": pd.Series([note.text for note in checks], dtype="str"),
            }
        )

    def _record_note(self, note: notes.Note) -> notes.Note:
        _check_note_text(note.text)
        notes.append_note(self.folder, note)
        _NOTES_BY_FOLDER.setdefault(self.folder, []).append(note)
        return note


def _check_texts(ok_text: object, problem_text: object) -> tuple[str, str]:
    """Return what is recorded of a check that passed, and of one that failed. InputError when a text is empty."""
    passed = str(ok_text)
    failed = passed if problem_text is None else str(problem_text)
    for text in (
        passed,
        failed,
    ):  # both now: the one for a failure would otherwise be missing when it is needed
        _check_note_text(text)
    return passed, failed if failed.strip() != passed.strip() else f"{FAILED_PREFIX}{passed}"


def _check_note_text(text: str) -> None:
    if not text.strip():
        raise InputError("a note needs a text that says what to look at")


def _show_note(note: notes.Note) -> None:
    """Show a colored box in a notebook, or print a line elsewhere. A report lists the text on top and omits the box."""
    from lcnb.display.panels import attention

    box = attention("ATTENTION", note.text)
    if not is_in_kernel():
        print_line(repr(box))
    else:
        from IPython.display import display

        display(box, metadata={notes.OUTPUT_MARK: note.text})  # type: ignore[no-untyped-call]


def _encode_frame(frame: pd.DataFrame, output: str) -> bytes:
    if output == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def run(*nothing: Never) -> RunContext:
    """Return the run that this notebook belongs to; without a run, its files go into the working directory.

    It takes no arguments. `lcnb.run("inventory")` raises TypeError that says how to run a runbook.

    >>> import lcnb
    >>> lcnb.run().folder.is_dir()
    True
    """
    given: tuple[object, ...] = nothing
    if given:
        name = given[0] if isinstance(given[0], str) else "NAME"
        raise TypeError(
            "lcnb.run() takes no arguments: it returns the run that this notebook belongs to. To run a runbook: "
            f"lcnb.runbook({name!r}) shows its form in a notebook; in a shell: lcnb run {shlex.quote(name)}. "
            f"Without an account: lcnb.runbook({name!r}, sandbox=True), or --sandbox. Nothing was started."
        )
    folder = Path(os.environ.get(RUN_FOLDER_VARIABLE) or Path.cwd()).absolute()
    resumes = os.environ.get(RESUMES_VARIABLE, "")
    return RunContext(folder, os.environ.get(CONFIRM_VARIABLE, ""), tuple(filter(None, resumes.split(","))))
