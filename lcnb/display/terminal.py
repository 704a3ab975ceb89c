"""How frames, records and errors look in a terminal, and what a pipe gets.

In a terminal a listing is a table with colours; in a pipe the same table without colours or cut cells; with
`-o json|csv|parquet` it is data. Only data goes to stdout; progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from lcnb.api.models import shown
from lcnb.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from lcnb.api.models import Record
    from lcnb.changes.changeset import ChangeSet
    from lcnb.runbooks.records.history import Kept
    from lcnb.runbooks.run import RunResult

FORMATS = ("table", "json", "csv", "parquet")

#: Columns that a table leaves out for width; every other format has them all.
WIDE = {
    "instances": ("city", "country", "ip_addresses", "booted", "built", "locked", "suspended", "domain"),
    "inventory": ("hostname", "city", "country", "ipv6", "template_label"),
    "plans": ("shortcode",),
    "sshkeys": (),
    "snapshots": ("reference",),
    "runs": ("user", "host", "problem", "folder"),
}


def print_frame(frame: pd.DataFrame, output: str = "table") -> None:
    """A frame on stdout, in one of FORMATS. Raises InputError for parquet to a terminal."""
    if output == "json":
        print(frame.to_json(orient="records", force_ascii=False, indent=2, date_format="iso"))
    elif output == "csv":
        frame.to_csv(sys.stdout, index=False, lineterminator="\n")
    elif output == "parquet":
        _print_parquet(frame)
    else:
        console = stdout()
        console.print(frame_table(frame, wide=not console.is_terminal))


def check_output(output: str) -> None:
    """InputError when the output cannot be printed here: a command that changes something looks before it does."""
    if output == "parquet" and sys.stdout.isatty():
        raise InputError("parquet is binary; send it to a file: lcnb ... -o parquet > file.parquet")


def _print_parquet(frame: pd.DataFrame) -> None:
    check_output("parquet")
    from io import BytesIO

    buffer = BytesIO()  # parquet needs to seek; a pipe cannot
    frame.to_parquet(buffer, index=False)
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.flush()


def stdout() -> Console:
    """A console that never cuts a cell when nobody looks."""
    return _console(sys.stdout)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream) if stream.isatty() else Console(file=stream, width=10_000, soft_wrap=True)


def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def frame_table(frame: pd.DataFrame, *, wide: bool = False, title: str | None = None) -> Any:
    """A rich table: numbers to the right, money with two decimals, states in colour, missing as an en dash."""
    from rich import box
    from rich.table import Table

    left_out = () if wide else WIDE.get(frame.attrs.get("lcnb", {}).get("kind", ""), ())
    columns = [name for name in frame.columns if name not in left_out]
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        number = frame[name].dtype in ("Int64", "Float64", "int64", "float64")
        table.add_column(str(name), justify="right" if number else "left", overflow="fold")
    for row in frame[columns].itertuples(index=False):
        table.add_row(*(_cell(name, value) for name, value in zip(columns, row, strict=True)))
    if not len(frame):
        table.caption = "no rows"
    return table


def _cell(column: str, value: Any) -> Any:
    import pandas as pd
    from rich.text import Text

    from lcnb.display.charts import STATE_COLORS

    if value is None or value is pd.NA or value != value:
        return Text("–", style="dim")
    if isinstance(value, float):
        return Text(f"{value:,.2f}")
    if column == "state":
        return Text(str(value), style=STATE_COLORS.get(str(value), ""))
    return Text(shown(value if not hasattr(value, "item") else value.item()))


def print_record(record: Record, output: str = "table") -> None:
    """One typed object on stdout: a line a field, or JSON."""
    if output == "json":
        print(json.dumps({each.name: value for each, value in record.rows()}, ensure_ascii=False, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for each, value in record.rows():
        text = f"{value:,.2f}" if isinstance(value, float) else shown(value)
        table.add_row(each.name, text)
    stdout().print(table)


def show_warnings() -> None:
    """Warnings as one line on stderr, without the source line that Python prints."""

    def show(message: Warning | str, *_: Any) -> None:
        stderr().print(f"[yellow]warning:[/] {_escape(str(message))}", soft_wrap=True)

    warnings.showwarning = show  # type: ignore[assignment]  # it takes what Python passes


@contextmanager
def cell_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over the cells of a run, on stderr; nothing at all when nobody looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda index, total, title: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("starting the kernel", total=None)
        yield lambda index, total, title: bar.update(
            task, completed=index, total=total, description=_escape(title)
        )


class ChangeProgress:
    """One line on stderr that says what is going on while changes are made; no line when nobody looks.

    It redraws itself many times a second, so it must not be there while somebody types an answer: it starts with the
    first step, and `confirm` takes it away.
    """

    def __init__(self) -> None:
        self._status = stderr().status("") if sys.stderr.isatty() else None
        #: Somebody was asked, and said no.
        self.declined = False

    def __call__(self, ended: int, total: int, text: str) -> None:
        if self._status:
            self._status.update(f"{ended}/{total}  {_escape(text)}")
            self._status.start()

    def stop(self) -> None:
        if self._status:
            self._status.stop()

    def confirm(self, changes: ChangeSet) -> bool:
        """Ask about the changes. Where nobody can be asked they are shown, and ConfirmationMissing is raised."""
        from lcnb.changes.changeset import can_ask

        self.stop()
        if not can_ask():
            print_changes(changes, console=_console(sys.stderr))
        confirmed = changes.confirmed(None)
        if not confirmed:
            self.declined = True
            print("not confirmed: nothing was sent", file=sys.stderr)
        return confirmed


@contextmanager
def change_progress() -> Iterator[ChangeProgress]:
    progress = ChangeProgress()
    try:
        yield progress
    finally:
        progress.stop()


@contextmanager
def batch_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over the rows of a batch, on stderr; nothing at all when nobody looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda ended, total, text: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("checking the rows", total=None)
        yield lambda ended, total, text: bar.update(
            task, completed=ended, total=total, description=_escape(text)
        )


def print_batch(frame: pd.DataFrame, output: str = "table") -> None:
    """How the rows of a batch ended: a table with the first line of each error, and where the batch is; or data."""
    if output != "table":
        print_frame(frame, output)
        return
    print_frame(frame.assign(error=frame["error"].str.partition("\n")[0]))
    facts = frame.attrs["lcnb"]
    done = int((frame["status"] == "done").sum())
    color = "green" if done == len(frame) else "bold red"
    console = stdout()
    console.print(
        f"[{color}]{done} of {len(frame)} done[/] {_escape(facts['folder'])}", soft_wrap=True, highlight=False
    )


def print_result(result: RunResult) -> None:
    """How a run ended: the failing cell on stderr, the folder and its files on stdout."""
    if result.error:
        stderr().print(result.error, markup=False, soft_wrap=True)
    for problem in result.problems:
        stderr().print(f"[yellow]warning:[/] {_escape(problem)}", soft_wrap=True)
    console = stdout()
    color = {"done": "green", "attention": "bold yellow"}.get(result.status, "bold red")
    console.print(
        f"[{color}]{result.status}[/] {_escape(str(result.folder))}", soft_wrap=True, highlight=False
    )
    for path in result.files:
        name = f"{path}  (open this one)" if path == result.report else path.relative_to(result.folder)
        console.print(f"  {_escape(str(name))}", soft_wrap=True, highlight=False)


def print_run(run: Kept) -> None:
    """The record of a run: a line a fact, then what asks for attention, the checks, and the files."""
    console = stdout()
    for name, value in run.record.items():
        own = name in _OWN_LINES or (name == "reason" and run.status == "attention")
        if own or value in (None, "", [], {}):
            continue
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        console.print(f"[dim]{name:<16}[/] {_escape(text)}", highlight=False, soft_wrap=True)
    for mark, texts in (
        ("[bold yellow]attention[/] ", _texts(run, "attention")),
        ("check ", _texts(run, "checks")),
    ):
        for text in texts:
            console.print(f"{mark}{_escape(text)}", highlight=False, soft_wrap=True)
    for name in run.value("files", dict) or ():
        console.print(f"  {_escape(str(run.folder / name))}", highlight=False, soft_wrap=True)


#: Parts of a record that have lines of their own, or are for programs.
_OWN_LINES = (
    "attention",
    "checks",
    "files",
    "process",
    "kernel_process",
    "settled",
    "format",
    "closed",
    "given",
)


def _texts(run: Kept, name: str) -> list[str]:
    words = {True: "ok: ", False: "failed: ", None: ""}
    found = [each for each in run.value(name, list) or () if isinstance(each, dict)]
    return [f"{words.get(each.get('ok'), '')}{each.get('text')}" for each in found]


def print_changes(changes: ChangeSet, output: str = "table", *, console: Console | None = None) -> None:
    """A ChangeSet that was not applied, with its summary and notes; or its frame as data."""
    if output != "table":
        print_frame(changes.to_frame(), output)
        return
    console = console or stdout()
    if len(changes):
        console.print(frame_table(changes._shown(), wide=True))
        for method, path, body in changes.requests:
            text = "" if body is None else json.dumps(body, ensure_ascii=False)
            console.print(f"[dim]{_escape(f'{method} {path} {text}')}[/]", highlight=False, soft_wrap=True)
    console.print(f"[bold]{_escape(changes.summary())}[/]", highlight=False, soft_wrap=True)
    for note in changes.notes if len(changes) else ():
        console.print(f"note: {_escape(note)}", highlight=False, soft_wrap=True)


def print_made(changes: Sequence[Mapping[str, Any]]) -> None:
    """The changes of a run, as its record has them."""
    from lcnb.changes.changeset import made_frame
    from lcnb.runbooks.effects import is_made

    frame = made_frame(changes)
    if not any(map(is_made, changes)):
        del frame["outcome"]  # they are only planned, and may be made next
    stdout().print(frame_table(frame, wide=True))


def print_made_frame(frame: pd.DataFrame, output: str) -> None:
    """What came of changes, which are made whether or not this can be printed: then stderr says so."""
    try:
        print_frame(frame, output)
    except Exception as odd:
        print_error(odd)
        print(
            f"The result of the changes cannot be printed as {output}. What was made: lcnb journal; the exit code says "
            "how it ended.",
            file=sys.stderr,
        )


def print_error(error: BaseException) -> None:
    stderr().print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
