"""What a notebook calls: `lcnb.run()` is the run that it is part of.

Under `lcnb run` files land in the run's folder, and attention notes and checks in its record and report.
Under plain papermill, in JupyterLab or in a script there is no run, and the same calls put them into the
working directory (`run.log`, `notes.jsonl`).
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.files import write_atomically
from lcnb.runbooks.environment import CONFIRM_VARIABLE, RESUMES_VARIABLE, RUN_FOLDER_VARIABLE
from lcnb.runbooks.records import notes
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.apply import SyncChangeSet
    from lcnb.changes.changeset import OnError
TABLE_FORMATS = ("parquet", "csv")
#: The notes that this process has made, by folder.
_NOTES_BY_FOLDER: dict[Path, list[notes.Note]] = {}


@dataclass(frozen=True)
class RunContext:
    """The current run: its folder, and how to keep something there."""

    folder: Path
    #: "yes", the folder of an approved dry run, or nothing: then somebody is asked, or the change refused.
    confirmed: str = ""
    #: The runs that this one goes on with.
    resumes: tuple[str, ...] = ()

    def apply(
        self,
        changes: SyncChangeSet,
        *,
        dry_run: bool,
        name: str = "changes",
        wait: bool = True,
        timeout: float | None = None,
        on_error: OnError = "stop",
    ) -> pd.DataFrame:
        """Show changes, keep them beside the report, and make them unless this is a dry run.

        Args:
            dry_run: True: only show and keep them. False: they must be confirmed (by `lcnb run --yes`, by
                `lcnb apply RUN` for the very changes that a dry run planned, or by who sits at the notebook).
            name: tells several sets of one runbook apart: the files are `name.json`, `name.csv`, `name.parquet`.
            wait, timeout, on_error: as for `ChangeSet.apply`.

        Returns the frame of the changes with outcome ("not made" in a dry run), detail, tries, seconds. What a run
        that this one resumes has done is left out. Raises ConfirmationMissing, Drifted, Locked (nothing was sent),
        ChangeFailed, WaitTimeout.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> made = lcnb.run().apply(lc.power_off(label="web-01"), dry_run=True)  # doctest: +ELLIPSIS
        <BLANKLINE>
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
        )

    def file(self, name: str) -> Path:
        """The path of a file of the run: letters, digits, `-`, `_` and a suffix. InputError for another name."""
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*\.\w+", name):
            raise InputError(f"{name!r} cannot name a file here: letters, digits, - and _ only")
        return self.folder / name

    def save(self, name: str, frame: pd.DataFrame, formats: Sequence[str] = TABLE_FORMATS) -> list[Path]:
        """Keep a frame beside the executed notebook, as `name.parquet` and `name.csv`; gives the paths.

        A file is replaced in one step. InputError for a name with other than letters, digits, - and _, or for
        an unknown format; OSError when it cannot be written.

        >>> import lcnb, pandas as pd
        >>> [path.name for path in lcnb.run().save("machines", pd.DataFrame({"n": [1]}), ["csv"])]
        ['machines.csv']
        """
        unknown = [each for each in formats if each not in TABLE_FORMATS]
        if unknown:
            raise InputError(f"unknown format {unknown[0]!r}; there are {', '.join(TABLE_FORMATS)}")
        return [write_atomically(self.file(f"{name}.{each}"), _encode_frame(frame, each)) for each in formats]

    def log(self, text: object) -> None:
        """Print a line with the time (UTC), and keep it in `run.log`. OSError when it cannot be written.

        >>> import lcnb
        >>> lcnb.run().log("60 machines read")  # doctest: +ELLIPSIS
        20... 60 machines read
        """
        print_line(notes.append_log(self.folder, str(text)))

    def attention(self, text: object) -> None:
        """Tell people that something needs a look: shown here, kept in the record and atop the report.

        A run that ends well and asks for attention has status `attention` and exit code 8.

        >>> import lcnb
        >>> lcnb.run().attention("web-03 was building for two hours")
        ATTENTION: web-03 was building for two hours
        """
        _show_note(self._keep(notes.Note(notes.utc_timestamp(), str(text))))

    def check(self, ok: object, text: object) -> bool:
        """Keep a check with its outcome, which it gives back; one that failed asks for attention and is shown.

        `text` says what should hold. InputError for an `ok` that is neither true nor false: pandas.NA, a text.

        >>> import lcnb
        >>> lcnb.run().check(2 < 3, "fewer than 3 machines are off")
        True
        """
        try:
            held = None if isinstance(ok, str) else bool(ok)  # the text "no" would hold
        except (TypeError, ValueError):
            held = None
        if held is None:
            raise InputError(f"check {str(text)!r}: {ok!r} is neither true nor false")
        note = self._keep(notes.Note(notes.utc_timestamp(), str(text), held))
        if not held:
            _show_note(note)
        return held

    def check_types(self, namespace: Mapping[str, Any]) -> None:
        """ParameterError for a value that a declared parameter of the notebook does not take.

        That is a number or a flag where a text, a date or a path is declared, one value for a list, and a word that is
        not among those of a Literal. Call it with `globals()`. jupyter-scheduler writes values into the notebook as
        they are typed: a date without quotes is a subtraction, and arrives as a number. papermill checks no value.

        >>> import lcnb
        >>> account: str | None = None
        >>> lcnb.run().check_types(globals())
        """
        from lcnb.runbooks.notebook.injected_values import check_types

        check_types(namespace)

    @property
    def attentions(self) -> list[str]:
        """What this notebook has asked attention for, failed checks among it, in order."""
        return notes.attention_texts(_NOTES_BY_FOLDER.get(self.folder, []))

    @property
    def checks(self) -> pd.DataFrame:
        """The checks that this notebook has made: at (UTC), ok, text."""
        import pandas as pd

        made = [note for note in _NOTES_BY_FOLDER.get(self.folder, []) if note.ok is not None]
        return pd.DataFrame(
            {
                "at": pd.to_datetime([note.at for note in made], utc=True).astype("datetime64[us, UTC]"),
                "ok": pd.array([note.ok for note in made], dtype="boolean"),
                "text": pd.Series([note.text for note in made], dtype="str"),
            }
        )

    def _keep(self, note: notes.Note) -> notes.Note:
        if not note.text.strip():
            raise InputError("a note needs a text that says what to look at")
        notes.append_note(self.folder, note)
        _NOTES_BY_FOLDER.setdefault(self.folder, []).append(note)
        return note


def _show_note(note: notes.Note) -> None:
    """A coloured box in a notebook, a line elsewhere."""
    from lcnb.display.panels import attention

    box = attention("ATTENTION" if note.ok is None else "CHECK FAILED", note.text)
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print_line(repr(box))
    else:
        from IPython.display import display

        display(box)  # type: ignore[no-untyped-call]


def _encode_frame(frame: pd.DataFrame, output: str) -> bytes:
    if output == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def run() -> RunContext:
    """The run that this notebook is part of; outside of one, the working directory.

    >>> import lcnb
    >>> lcnb.run().folder.is_dir()
    True
    """
    folder = Path(os.environ.get(RUN_FOLDER_VARIABLE) or Path.cwd()).absolute()
    resumes = os.environ.get(RESUMES_VARIABLE, "")
    return RunContext(folder, os.environ.get(CONFIRM_VARIABLE, ""), tuple(filter(None, resumes.split(","))))
