"""The differences between two runs: status, parameters, notebook, versions, notes, and saved tables.

Rows of tables are matched by a key column: the first of KEY_COLUMNS that is unique in both tables, else the first
other column that is. Without a key column whole rows are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.csv_file import read_table
from lcnb.runbooks.records.run_record import RunRecord, require_readable

if TYPE_CHECKING:
    import pandas as pd

KEY_COLUMNS = ("identifier", "label", "slug", "id", "name")
COMPARED_FACTS = ("runbook", "status", "exit_code", "notebook", "notebook_sha256", "git", "account", "base_url",
         "user", "host", "python")  # fmt: skip
DIFFERENCE_COLUMNS = ("what", "row", "change", "column", "first", "second")

Difference = tuple[str, str | None, str, str | None, str | None, str | None]


def compare_runs(first: RunRecord, second: RunRecord) -> pd.DataFrame:
    """Return one row per difference, and an empty DataFrame for equal runs.

    `what` is a fact of the record, `parameter x`, `version x`, `attention` or `table x`. `change` is `differs`, or for
    a table `added`, `removed`, `changed` (in `column`) or `unreadable`. `row` is the key of the table's row; `first`
    and `second` are the values as texts. Raises InputError when a record cannot be read.
    """
    import pandas as pd

    rows = [
        *_record_differences(require_readable(first), require_readable(second)),
        *_saved_table_differences(first.folder, second.folder),
    ]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(DIFFERENCE_COLUMNS)}
    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})


def _record_differences(first: RunRecord, second: RunRecord) -> Iterator[Difference]:
    yield from _value_differences(
        "", *({name: each.facts.get(name) for name in COMPARED_FACTS} for each in (first, second))
    )
    yield from _value_differences("", *({"reason": _end_reason(each)} for each in (first, second)))
    for what, name in (("parameter ", "parameters"), ("version ", "versions")):
        yield from _value_differences(what, *(each.typed_fact(name, dict) or {} for each in (first, second)))
    yield from _attention_differences(_attention_texts(first), _attention_texts(second))


def _attention_differences(before: list[str], after: list[str]) -> Iterator[Difference]:
    yield from (("attention", None, "removed", None, text, None) for text in before if text not in after)
    yield from (("attention", None, "added", None, None, text) for text in after if text not in before)


def _end_reason(run: RunRecord) -> Any:
    """Return the reason of the status; None for `attention`, because its notes are compared one by one."""
    return None if run.status == "attention" else run.facts.get("reason") or None


def _attention_texts(run: RunRecord) -> list[str]:
    found = run.facts.get("attention")
    return (
        [str(each.get("text")) for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    )


def _value_differences(what: str, first: dict[str, Any], second: dict[str, Any]) -> Iterator[Difference]:
    for name in {**first, **second}:
        if first.get(name) != second.get(name):
            yield (
                f"{what}{name}",
                None,
                "differs",
                None,
                _text_or_none(first.get(name)),
                _text_or_none(second.get(name)),
            )


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


# --- tables ---------------------------------------------------------------------------------------------


def _saved_table_differences(first: Path, second: Path) -> Iterator[Difference]:
    files = [_table_files(first), _table_files(second)]
    for name in sorted({*files[0], *files[1]}):
        what = f"table {name}"
        if name not in files[0] or name not in files[1]:
            yield what, None, "added" if name in files[1] else "removed", None, None, None
            continue
        try:
            one, other = (_read_table_file(each[name]) for each in files)
        except Exception as error:  # the readers raise many kinds of errors for damaged files
            yield what, None, "unreadable", None, str(error), None
            continue
        yield from _table_differences(what, one, other)


def _table_files(folder: Path) -> dict[str, Path]:
    """Return the saved tables by name; a parquet file is preferred to a CSV file."""
    return {path.stem: path for kind in ("csv", "parquet") for path in sorted(folder.glob(f"*.{kind}"))}


def _read_table_file(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".csv":
        header, rows = read_table(path)
        header = [
            f"{name}.{number}" if (number := header[:place].count(name)) else name
            for place, name in enumerate(header)
        ]
        return pd.DataFrame(
            [[cell or None for cell in cells] for cells in rows], columns=header, dtype="object"
        )
    table = pd.read_parquet(path)
    texts: pd.DataFrame = table.apply(lambda column: column.map(str, na_action="ignore").astype("object"))
    return texts


def _table_differences(what: str, first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Difference]:
    for name in first.columns.difference(second.columns, sort=False):
        yield what, None, "removed", str(name), None, None
    for name in second.columns.difference(first.columns, sort=False):
        yield what, None, "added", str(name), None, None
    key = _key_column(first, second)
    if key is None:
        yield from _row_differences(what, first, second)
        return
    first, second = first.set_index(key), second.set_index(key)
    for row in first.index.difference(second.index, sort=False):
        yield what, row, "removed", None, None, None
    for row in second.index.difference(first.index, sort=False):
        yield what, row, "added", None, None, None
    both = first.index.intersection(second.index, sort=False)
    for name in first.columns.intersection(second.columns, sort=False):
        one, other = first.loc[both, name], second.loc[both, name]
        for row in both[((one != other) & ~(one.isna() & other.isna())).to_numpy(bool)]:
            yield what, row, "changed", str(name), _text_cell(one[row]), _text_cell(other[row])


def _text_cell(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _key_column(first: pd.DataFrame, second: pd.DataFrame) -> str | None:
    for name in (*KEY_COLUMNS, *first.columns):
        if all(
            name in each and each[name].notna().all() and each[name].is_unique for each in (first, second)
        ):
            return str(name)
    return None


def _row_differences(what: str, first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Difference]:
    from collections import Counter

    names = list(first.columns.intersection(second.columns, sort=False))
    one, other = (
        Counter(", ".join(map(str, row)) for row in each[names].fillna("").itertuples(index=False))
        for each in (first, second)
    )
    for change, rows in (("removed", one - other), ("added", other - one)):
        for row in rows.elements():
            yield what, row, change, None, None, None
