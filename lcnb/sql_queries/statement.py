"""A query as DuckDB's parser sees it: the tables that it names, and the reasons to refuse it.

The parser returns a tree of JSON objects. This module only reads that tree; nothing is opened, bound or run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lcnb.errors import InputError
from lcnb.suggestions import did_you_mean

#: Nodes of the tree that only read; all others, such as an INSERT inside WITH, change something.
_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
#: Functions that may be used as tables. All others reach files, memory or settings, or hide the name of a table.
_TABLE_FUNCTIONS = {"unnest", "range", "generate_series", "repeat", "json_each", "json_tree"}
#: Functions that read the environment or settings, write, or wait.
_REFUSED_FUNCTIONS = {
    "getenv",
    "current_setting",
    "getvariable",
    "write_log",
    "nextval",
    "currval",
    "sleep_ms",
}
#: What the parser makes of SHOW TABLES.
_TABLES = "tables"
#: Where DuckDB keeps tables that have no schema: `main.plans` and `memory.main.plans` are `plans`.
_OWN_SCHEMAS: tuple[list[str], ...] = ([], ["main"], ["memory", "main"])


Node = Mapping[str, Any]


class TableName(NamedTuple):
    """A table that a query names: its name in lower case, and its byte offset in the query (None if unknown)."""

    name: str
    offset: int | None


@dataclass
class QueryTables:
    """The tables that a query names. The rows of those in `described` are not needed, only their columns."""

    read: list[TableName] = field(default_factory=list)
    described: list[TableName] = field(default_factory=list)
    #: The query is SHOW TABLES.
    lists_tables: bool = False


def find_tables(tree: Mapping[str, Any], query: str, known: Sequence[str]) -> QueryTables:
    """Return the tables that a query names; raise InputError for an unknown one, or for what a query may not do.

    Args:
        tree: the only statement of the query, as DuckDB's parser returned it.
        query: its text, for positions.
        known: the names of all tables.
    """
    found = QueryTables(lists_tables=_is_show_tables(tree))
    if found.lists_tables:
        return found
    for node, hidden, described in _walk_nodes(tree):
        _check_node(node, query, known)
        if node.get("type") == "BASE_TABLE":
            path = [str(part) for part in node["qualified_name"]["path"]]
            if len(path) > 1 or path[0].lower() not in hidden:
                table = _known_table(path, node_offset(node), query, known)
                (found.described if described else found.read).append(table)
    return found


def _known_table(path: Sequence[str], offset: int | None, query: str, known: Sequence[str]) -> TableName:
    """Return the table of a name and its schemas; raise InputError if there is no such table."""
    schemas, name = [part.lower() for part in path[:-1]], path[-1].lower()
    if schemas not in _OWN_SCHEMAS or name not in known:
        raise unknown_table_error(".".join(path), offset, query, known)
    return TableName(name, offset)


def _is_show_tables(tree: Node) -> bool:
    shown = (tree.get("node") or {}).get("from_table") or {}
    return shown.get("type") == "SHOW_REF" and _shown_name(shown) == _TABLES


def _walk_nodes(tree: Node) -> Iterator[tuple[Node, frozenset[str], bool]]:
    """Yield each object of the tree, with the names that WITH has given there, and whether it is only described.

    A name of WITH hides the table of that name after its definition; in its own definition only when it is recursive.
    """
    pending: list[tuple[Any, frozenset[str], bool]] = [(tree, frozenset(), False)]
    while pending:
        node, hidden, described = pending.pop()
        if isinstance(node, list):
            pending += [(each, hidden, described) for each in node]
            continue
        if not isinstance(node, dict):
            continue
        yield node, hidden, described
        described = described or node.get("show_type") == "DESCRIBE"
        for definition in _with_definitions(node):
            pending.append((definition["value"], hidden, described))
            hidden |= {definition["key"].lower()}
        for name, child in node.items():
            if name == "cte_map":
                continue
            own = {str(node.get("cte_name")).lower()} if _is_recursive_part(node, name) else set()
            pending.append((child, hidden | own, described))


def _with_definitions(node: Node) -> list[Node]:
    definitions: list[Node] = (node.get("cte_map") or {}).get("map", [])
    return definitions


def _is_recursive_part(node: Node, name: str) -> bool:
    return node.get("type") == "RECURSIVE_CTE_NODE" and name == "right"


def _check_node(node: Node, query: str, known: Sequence[str]) -> None:
    """Raise InputError for a part of a query that does not only read lcnb's tables."""
    kind = str(node.get("type"))
    if kind.endswith("_NODE") and kind not in _READING_NODES:
        verb = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise refused_query_error(f"{verb} changes data", None, query)
    if kind == "TABLE_FUNCTION":
        function = node["function"]
        name = str(function.get("function_name")).lower()
        if name not in _TABLE_FUNCTIONS:
            problem = (
                f"{name}(...) is not available as a table{did_you_mean(name, [*known, *_TABLE_FUNCTIONS])}"
            )
            raise refused_query_error(problem, node_offset(node), query, known)
    if kind == "FUNCTION" and str(node.get("function_name")).lower() in _REFUSED_FUNCTIONS:
        problem = f"the function {str(node['function_name']).lower()} is not available"
        raise refused_query_error(problem, node_offset(node), query, known)
    if kind == "SHOW_REF" and "query" not in node:
        problem = "SHOW is available as the query SHOW TABLES only; DESCRIBE shows the columns of a table"
        raise refused_query_error(problem, None, query, known)


def _shown_name(node: Node) -> str:
    return str(node.get("table_name", "")).strip('"').lower()


def node_offset(node: Node) -> int | None:
    """Return the byte offset of a node in the query, or None where the parser does not know it."""
    offset = node.get("query_location")
    return offset if isinstance(offset, int) and offset < 2**63 else None


# --- errors -----------------------------------------------------------------------------------------------


def position_text(query: str, offset: int | None) -> str:
    """Return ` at line L, column C` for a byte offset in a query; "" for None.

    >>> position_text("select 1\\nfrom plns", 14)
    ' at line 2, column 6'
    """
    if offset is None:
        return ""
    before = query.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore")
    return f" at line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def unknown_table_error(name: str, offset: int | None, query: str, known: Sequence[str]) -> InputError:
    """Return the error for a table that does not exist, with the nearest name and all names."""
    return InputError(
        f"no table {name!r}{position_text(query, offset)}{did_you_mean(name, known)}",
        field="query",
        value=name,
        cure=tables_cure(known),
        not_done="sent",
    )


def refused_query_error(
    problem: str, offset: int | None, query: str, known: Sequence[str] = ()
) -> InputError:
    """Return the error for a query that would do more than read lcnb's tables."""
    return InputError(
        problem + position_text(query, offset),
        field="query",
        value=query,
        cure=f"A query only reads. {tables_cure(known)}".strip(),
        not_done="sent",
    )


def tables_cure(known: Sequence[str]) -> str:
    """Return the names of the tables as a sentence; "" for none."""
    return f"Tables: {', '.join(sorted(known))}." if known else ""
