"""A table of plain Python values: a listing, the runs or the journal before they are printed or become a frame.

It needs no pandas, so that a command prints a table without waiting for it. `Rows.frame` makes the DataFrame that the
functions of lcnb return: the same columns, order, dtypes and missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
#: Name, dtype, and the function that returns the value of an item.
Column = tuple[str, str, Callable[[T], Any]]
#: The dtypes of columns that hold numbers.
NUMBER_DTYPES = ("Int64", "Float64")
#: The dtype of a column of times; its values are datetimes with a time zone.
TIME_DTYPE = "datetime64[us, UTC]"


@dataclass(frozen=True)
class Rows:
    """Rows of plain values, None for a missing one. `kind` names the table, such as `inventory`.

    >>> rows = Rows("plans", {"slug": "str", "core": "Int64"}, [("1vcpu", 1), ("odd", None)])
    >>> len(rows), rows.column("core")
    (2, [1, None])
    >>> rows.frame().dtypes["core"]
    Int64Dtype()
    """

    kind: str
    #: Column → its dtype in a frame: `str`, `Int64`, `Float64`, `boolean` or TIME_DTYPE.
    dtypes: Mapping[str, str]
    values: Sequence[tuple[Any, ...]]
    #: What `frame.attrs["lcnb"]` holds besides the kind.
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.values)

    def column(self, name: str) -> list[Any]:
        """Return the values of a column; raise KeyError for another name."""
        if name not in self.dtypes:
            raise KeyError(name)
        position = list(self.dtypes).index(name)
        return [row[position] for row in self.values]

    def select(self, wanted: Iterable[bool]) -> Rows:
        """Return the rows whose flag is True; there is one flag per row."""
        return replace(self, values=[row for row, keep in zip(self.values, wanted, strict=True) if keep])

    def frame(self) -> pd.DataFrame:
        """Return the rows as a DataFrame; columns and dtypes are the same for any number of rows."""
        import pandas as pd

        columns = zip(*self.values, strict=True) if self.values else [()] * len(self.dtypes)
        frame = pd.DataFrame(
            {
                name: pd.array(list(values), dtype=dtype)  # type: ignore[call-overload] # a name of a dtype
                for (name, dtype), values in zip(self.dtypes.items(), columns, strict=True)
            },
            index=pd.RangeIndex(len(self.values)),
        )
        if self.kind:
            frame.attrs["lcnb"] = {"kind": self.kind, **self.facts}
        return frame


def rows_of(items: Iterable[T], columns: Sequence[Column[T]], *, kind: str = "", **facts: Any) -> Rows:
    """Return one row per item; a table of (name, dtype, value of an item) describes the columns.

    >>> rows_of([3, 4], [("half", "Float64", lambda number: number / 2)]).values
    [(1.5,), (2.0,)]
    """
    functions = [value for _, _, value in columns]
    values = [tuple(value(item) for value in functions) for item in items]
    return Rows(kind, {name: dtype for name, dtype, _ in columns}, values, facts)
