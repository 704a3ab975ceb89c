"""DuckDB, closed against everything outside: the only module that imports it.

A session is a database in memory of its own. Before the first query its settings are locked: no files, no network, no
extensions, no attached databases, no Python variables, no further settings. It holds copies of the tables that it was
given, so a query cannot change anything that anyone else sees.

DuckDB runs in a thread, so an interrupt, a cancellation or a limit in seconds ends a long query, also in async code.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lcnb.errors import InputError, QueryTimeout
from lcnb.sql_queries.statement import position_text, refused_query_error
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
#: Values for the `$1` or `$name` in a query.
Parameters = Sequence[Any] | Mapping[str, Any]

#: Binds a query without running it: unlike a relation, it reports the place of an error.
_EXPLAIN = "EXPLAIN "
MAX_MEMORY = "1GB"
MAX_THREADS = 4
#: Seconds to wait until an interrupted query has ended; after it its thread is left alone.
STOP_TIMEOUT_S = 5.0
#: What a query asks for is copied into this process, so that nothing outside needs to be open.
_LOCKED = {
    "enable_external_access": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "memory_limit": MAX_MEMORY,
    "errors_as_json": "true",
}
#: Settings that DuckDB does not know while connecting; the last one locks all of them.
_LAST_SETTINGS = ("TimeZone = 'UTC'", "enable_progress_bar = false", "lock_configuration = true")
#: Advice of DuckDB to change a setting: these are locked here.
_SETTING_ADVICE = re.compile(r"(, or|\bUse) SET .*?(\.(?=\s)|$)", re.MULTILINE)
#: Types of results that have no place in a table of lcnb.
_REFUSED_TYPES = {"blob", "bit", "bignum", "varint", "variant", "union", "geometry"}


class ThreadTask(Generic[T]):
    """Work in a thread of its own. `wait` waits for its end, `result` returns or raises what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._result: T | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="lcnb-sql", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most some seconds; return whether the work has ended.

        It waits for an event: a `Thread.join` that is interrupted takes the thread for ended in Python 3.11.
        """
        return self._ended.wait(seconds)

    def result(self) -> T:
        """Return what the work returned, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value] # it has ended


class Session:
    """A database in memory, locked against everything outside. Use it in a `with` statement."""

    def __init__(self) -> None:
        duckdb = import_duckdb()
        threads = str(min(MAX_THREADS, os.cpu_count() or 1))
        self._errors: type[Exception] = duckdb.Error
        self._database = duckdb.connect(":memory:", config={**_LOCKED, "threads": threads})
        for setting in _LAST_SETTINGS:
            self._execute(f"SET {setting}")
        self._task: ThreadTask[Any] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Interrupt what runs, and close the database."""
        if self._task is None or self._stop(self._task):
            self._database.close()

    def _stop(self, task: ThreadTask[Any]) -> bool:
        """Interrupt a task, and return whether it has ended. A query that has not begun yet is interrupted later."""
        waited_s, step_s = 0.0, 0.02
        while not task.wait(0.0) and waited_s < STOP_TIMEOUT_S:
            self._database.interrupt()
            task.wait(step_s)
            waited_s += step_s
        return task.wait(0.0)

    # --- before anything is read ----------------------------------------------------------------------------

    def parse(self, query: str) -> Mapping[str, Any]:
        """Return the only statement of a query as DuckDB's parser sees it; raise InputError for anything else."""
        try:
            statements = self._database.extract_statements(query)
        except self._errors as error:
            raise self._input_error(error, query) from None
        if len(statements) != 1:
            problem = f"has {len(statements)} statements" if statements else "is empty"
            raise InputError(problem, field="query", value=query, cure="Pass one SELECT.", not_done="sent")
        ((text,),) = self._execute(
            "SELECT json_serialize_sql($1, skip_null := true, skip_empty := true)", [query]
        )
        tree = _decode_tree(text, query)
        if tree.get("error"):
            raise _not_a_question_error(statements[0].type.name, query)
        statement: Mapping[str, Any] = tree["statements"][0]
        return statement

    def load(self, name: str, frame: pd.DataFrame) -> None:
        """Copy a frame into the table of this name, in place of what it held."""
        view = f"_loading_{name}"
        self._database.register(view, frame)
        self._execute(f'CREATE OR REPLACE TABLE "{name}" AS FROM "{view}"')
        self._database.unregister(view)

    def start_check(self, query: str, parameters: Parameters) -> ThreadTask[None]:
        """Start to bind a query to the loaded tables, in a thread; its InputError names what is wrong in the query.

        The query is not run, but DuckDB works out its constant parts, which can take as long as anything else.
        """
        return self._start(lambda: self._check(query, parameters))

    def _check(self, query: str, parameters: Parameters) -> None:
        try:
            self._execute(_EXPLAIN + query, parameters)
        except self._errors as error:
            raise self._input_error(error, query, before=len(_EXPLAIN)) from None
        try:
            relation = self._database.sql(query, params=parameters)
            kinds = dict(zip(relation.columns, (each.id for each in relation.types), strict=True))
        except self._errors as error:
            raise self._input_error(error, query) from None
        for column, kind in kinds.items():
            if kind.lower() in _REFUSED_TYPES:
                raise InputError(
                    f"the column {column!r} of the result has the type {kind.upper()}, which a table cannot hold",
                    field="query",
                    value=query,
                    cure="Cast it to text: (...)::varchar.",
                    not_done="sent",
                )

    def _execute(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a statement: DuckDB accepts no other one before these are read."""
        answer = self._database.execute(statement, parameters)
        return [] if answer is None else answer.fetchall()

    # --- the answer -----------------------------------------------------------------------------------------

    def start_query(self, query: str, parameters: Parameters) -> ThreadTask[Any]:
        """Start a query in a thread; the result of the task is an Arrow table, its InputError names a wrong value."""
        return self._start(lambda: self._answer(query, parameters))

    def _answer(self, query: str, parameters: Parameters) -> Any:
        try:
            return self._database.sql(query, params=parameters).to_arrow_table()
        except self._errors as error:
            raise self._input_error(error, query, not_done="") from None

    def _start(self, work: Callable[[], T]) -> ThreadTask[T]:
        self._task = task = ThreadTask(work)
        return task

    def time_limit_error(self, task: ThreadTask[Any], limit_s: float) -> QueryTimeout:
        """Stop a query that has reached its limit, and return the error that says so."""
        self._stop(task)
        return QueryTimeout(
            f"the query was stopped after {limit_s:g} s",
            field="query",
            cure="Make it smaller, or allow more seconds: lcnb.connect(timeout=...).",
        )

    def _input_error(
        self, error: Exception, query: str, *, before: int = 0, not_done: str = "sent"
    ) -> InputError:
        """Return an error of DuckDB as an error of lcnb; `before` is the number of bytes before the query."""
        facts = _error_facts(error)
        problem, cure = _problem_and_cure(facts)
        offset = facts.get("position")
        where = position_text(query, int(offset) - before if offset else None)
        return InputError(f"{problem}{where}", field="query", value=query, cure=cure, not_done=not_done)


def import_duckdb() -> Any:
    """Return the module duckdb; raise InputError that says how to install it."""
    try:
        import duckdb
    except ImportError:
        raise InputError(
            "SQL needs DuckDB, which is not installed",
            cure="Install it: pip install 'lcnb[sql]'.",
            not_done="sent",
        ) from None
    return duckdb


def _decode_tree(text: str, query: str) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads(text)
    except RecursionError:
        raise refused_query_error("is nested too deeply", None, query) from None
    return tree


def _not_a_question_error(kind: str, query: str) -> InputError:
    if kind == "MULTI":  # PIVOT without its values: DuckDB would first create a type from a query
        return InputError(
            "PIVOT needs the values that become columns",
            field="query",
            value=query,
            cure="Name them: PIVOT inventory ON location IN ('MIA1', 'SAO1') USING count(*).",
            not_done="sent",
        )
    return refused_query_error(f"{kind.replace('_', ' ')} is not available", None, query)


def _error_facts(error: Exception) -> dict[str, Any]:
    """The facts of an error of DuckDB, which writes them as JSON after the name of the kind."""
    _, _, text = str(error).partition(" Error: ")
    try:
        facts: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"exception_message": text or str(error)}
    return facts


def _problem_and_cure(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Rephrase what DuckDB says: the problem in one line, and what can be done."""
    name, kind = facts.get("name"), facts.get("error_subtype")
    near = [each.strip('"') for each in str(facts.get("candidates") or "").split(",") if each]
    if kind == "COLUMN_NOT_FOUND":
        cure = f"The nearest columns: {', '.join(near)}." if near else "FROM names no table that has it."
        if not did_you_mean(str(name), near):
            cure += f" If it is a text, put it in single quotes: '{name}'."
        return f"no column {name!r}", cure
    if kind == "MISSING_ENTRY":
        what = str(facts.get("type", "entry")).lower()
        return f"no {what} {name!r}", f"Did you mean {near[0]!r}?" if near else ""
    if facts.get("exception_type") == "Out of Memory":
        return (
            f"the query needs more than {MAX_MEMORY} of memory",
            "Make it smaller: filter or aggregate first.",
        )
    problem, cure = _split_message(str(facts.get("exception_message", "")))
    if kind == "SYNTAX_ERROR":
        cure = cure or "An example: select label from inventory where state = 'running'."
    return problem, cure


def _split_message(message: str) -> tuple[str, str]:
    """Return the first sentence of a message of DuckDB and the rest, without advice to change a setting."""
    text = _SETTING_ADVICE.sub("", message)
    lines = [each.strip() for each in text.splitlines() if each.strip()] or ["DuckDB refused it"]
    problem, _, rest = lines[0].partition(". ")
    return problem.rstrip(".!"), " ".join(filter(None, [rest, *lines[1:]]))
