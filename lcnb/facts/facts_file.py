"""`FactsFile`: the facts of one account in a CSV file, read strictly and changed under a lock.

The file is made to be committed to git: one row per machine, sorted by label and identifier, the same bytes for the
same facts. People edit it too, so nothing in it is dropped: an unknown column, a bad cell or a conflict marker is an
error with its line number, and comments are kept at the top.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lcnb.csv_file import MAX_PROBLEMS_SHOWN, parse_csv
from lcnb.errors import InputError
from lcnb.facts.machine_facts import COLUMNS, FactsEdit, MachineFacts, facts_from_row, stored_label
from lcnb.files import NotText, kept_mode, read_text, replace_file, write_error
from lcnb.shortening import name_first
from lcnb.suggestions import did_you_mean

#: Seconds to wait for another process that changes the file.
LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class FactsFile:
    """The facts file of an account. A file that does not exist holds no facts."""

    path: Path

    def read(self) -> dict[str, MachineFacts]:
        """Return the facts of each machine by its identifier.

        Raises InputError that names each bad line; then no facts are used, since a protection may be among the
        unreadable ones.
        """
        return self._read_all()[0]

    def edit(self, identifiers: Mapping[str, str], change: FactsEdit) -> dict[str, MachineFacts]:
        """Change the facts of some machines, and return the new facts of these.

        Args:
            identifiers: Identifier → label of each machine. A label that is empty leaves the stored one.
            change: Returns the new facts of one machine; it gets empty facts for one that has none yet. It is called
                for the machines in their order.

        The file is read and replaced under a lock, whole or not at all. Raises InputError when the file cannot be read
        or written; nothing is written then.
        """
        from filelock import FileLock, Timeout

        path = self._target()
        try:
            lock = path.with_name(f".{path.name}.lock")
            # With the permissions of the file itself: whoever may write it may lock it.
            with FileLock(lock, timeout=LOCK_TIMEOUT_S, mode=kept_mode(path)):
                facts, comments = self._read_all()
                changed = {
                    identifier: change(_with_label(facts.get(identifier), identifier, label))
                    for identifier, label in identifiers.items()
                }
                if any(facts.get(name, MachineFacts(name)) != each for name, each in changed.items()):
                    self._replace(path, facts | changed, comments)
        except Timeout:
            raise InputError(
                f"another process has held the lock of {self.path} for {LOCK_TIMEOUT_S:g} s. Try again.",
                not_done="written",
            ) from None
        except NotImplementedError:
            raise InputError(
                f"the facts file {self.path} cannot be written: the file system of its folder has no locks",
                cure='Put it on another disk: facts = "..." in its account of lcnb.toml.',
                not_done="written",
            ) from None
        except OSError as error:
            problem = f"the facts file {self.path} cannot be written"
            raise write_error(error, problem, refused=InputError, not_done="written") from None
        except InputError as error:
            raise error.restate(not_done="written") from None
        return changed

    def _replace(self, path: Path, facts: Mapping[str, MachineFacts], comments: Iterable[str]) -> None:
        """Write the file, after a check that these facts can be read again."""
        content = facts_text(facts.values(), comments)
        kept = {name: each for name, each in facts.items() if not each.is_empty}
        if self._parse(content)[0] != kept:
            raise InputError("these facts cannot be written: they would be read as other ones")
        replace_file(path, content)

    def _target(self) -> Path:
        """The file itself where the path is a symbolic link: the link stays."""
        try:
            path = self.path.resolve()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = f"the folder of {self.path} cannot be created"
            raise write_error(error, problem, refused=InputError, not_done="written") from None
        except RuntimeError as error:  # links that lead in a circle
            raise InputError(
                f"the folder of {self.path} cannot be created: {error}", not_done="written"
            ) from None
        return path

    def _read_all(self) -> tuple[dict[str, MachineFacts], list[str]]:
        """Return the facts by identifier, and the comments."""
        try:
            text = read_text(self.path, "save it as CSV UTF-8")
        except FileNotFoundError:
            if self.path.is_symlink():
                raise InputError(
                    f"the facts file {self.path} is a symbolic link to a file that does not exist",
                    cure="Make that file available, or remove the link.",
                    not_done="sent",
                ) from None
            return {}, []
        except (OSError, NotText) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            raise InputError(
                f"the facts file {self.path} cannot be read: {reason}", not_done="sent"
            ) from None
        return self._parse(text)

    def _parse(self, text: str) -> tuple[dict[str, MachineFacts], list[str]]:
        """Return the facts by identifier, and the comments, of the text of the file."""
        _check_merged(self.path, text)
        table = parse_csv(text, self.path)
        _check_columns(self.path, table.columns)
        facts: dict[str, MachineFacts] = {}
        problems = []
        for row in table.rows:
            try:
                found = facts_from_row(row.values)
            except InputError as error:
                problems.append(f"line {row.line}: {error.statement}")
                continue
            if found.identifier in facts:
                problems.append(f"line {row.line}: the machine {found.identifier} is there twice")
            facts[found.identifier] = found
        if problems:
            raise InputError(
                f"{self.path}, {name_first(problems, MAX_PROBLEMS_SHOWN, separator='; ')}",
                cure="Correct the file by hand; until then its protections are not known, and no change is made.",
                not_done="sent",
            )
        return facts, list(table.comments.values())


def facts_text(facts: Iterable[MachineFacts], comments: Iterable[str] = ()) -> str:
    """Return the content of a facts file: comments, header, and one row per machine that has a fact."""
    text = io.StringIO()
    for comment in comments:
        text.write(f"{comment}\n")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    kept = [each for each in facts if not each.is_empty]
    for each in sorted(kept, key=lambda one: (one.label, one.identifier)):
        writer.writerow(each.row())
    return text.getvalue()


def _with_label(facts: MachineFacts | None, identifier: str, label: str) -> MachineFacts:
    found = facts or MachineFacts(identifier)
    name = stored_label(label)
    return replace(found, label=name) if name else found


def _check_merged(path: Path, text: str) -> None:
    """Raise InputError for the marks that git leaves where two changes of one line meet."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ", "||||||| ")) or line == "=======":
            raise InputError(
                f"{path}, line {number}: a merge conflict of git is not resolved",
                cure="Keep the right lines, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>.",
                not_done="sent",
            )


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    names = list(columns)
    for name in names:
        if name not in COLUMNS:
            raise InputError(
                f"{path}, line 1: unknown column {name!r}{did_you_mean(name, COLUMNS)}. Columns: {', '.join(COLUMNS)}",
                not_done="sent",
            )
    if "identifier" not in names:
        raise InputError(f"{path}, line 1: the column identifier is missing", not_done="sent")
