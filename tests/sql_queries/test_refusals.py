"""A query reads lcnb's tables and nothing else: no file, variable, setting, extension or network, and it writes nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb.errors import InputError
from lcnb.sandbox import Sandbox
from lcnb.sql_queries.engine import Session, import_duckdb

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]
CANARY = "canary7f3e9a1c"

#: A Python variable with the name of no table: a query must not see it.
python_frame = pd.DataFrame({"a": [CANARY]})

#: Name of the attack → query; {file} holds the canary, {new} does not exist, {url} is a server of this machine.
HOSTILE = {
    "read_csv": "select * from read_csv('{file}')",
    "read_csv_auto": "select * from main.read_csv_auto('{file}')",
    "read_text": "select content from read_text('{file}')",
    "read_blob": "select * from read_blob('{file}')",
    "read_json": "select * from read_json('{file}')",
    "read_parquet": "select * from read_parquet('{file}')",
    "read_duckdb": "select * from read_duckdb('{file}')",
    "sniff_csv": "select * from sniff_csv('{file}')",
    "parquet_metadata": "select * from parquet_metadata('{file}')",
    "glob": "select * from glob('{folder}/*')",
    "file as table": "select * from '{file}'",
    "file as quoted name": 'select * from "{file}"',
    "glob as table": "select * from '{folder}/*.csv'",
    "url as table": "select * from '{url}/x.csv'",
    "url in read_csv": "select * from read_csv('{url}/x.csv')",
    "in a subquery": "select (select count(*) from read_csv('{file}')) from locations",
    "in a with": "with a as (select * from '{file}') select * from a",
    "in a lateral": "select * from locations, lateral (select * from read_text('{file}'))",
    "in a pivot": "pivot (from read_csv('{file}')) on a in ('x') using count(*)",
    "in exists": "select 1 where exists (from read_csv('{file}'))",
    "in order by": "select 1 order by (select content from read_text('{file}'))",
    "in a parameter list": "select [x for x in (select list(content) from read_text('{file}'))]",
    "describe a file": "describe '{file}'",
    "summarize a file": "summarize '{file}'",
    "copy to": "copy (select 1) to '{new}'",
    "copy table to": "copy locations to '{new}' (format parquet)",
    "copy from": "copy locations from '{file}'",
    "export": "export database '{new}'",
    "import": "import database '{folder}'",
    "attach": "attach '{new}' as other",
    "attach a url": "attach '{url}/x.db'",
    "create table": "create table t as select 1",
    "create view": "create view v as select * from '{file}'",
    "create macro": "create macro f() as table select * from '{file}'",
    "create secret": "create secret (type s3, key_id 'x')",
    "insert": "insert into locations select * from locations",
    "insert in a with": "with x as (insert into locations by name select 'x' as slug returning slug) select * from x",
    "delete in a with": "with x as (delete from locations returning slug) select * from x",
    "update in a with": "with x as (update locations set slug = 'x' returning slug) select * from x",
    "delete": "delete from locations",
    "drop": "drop table locations",
    "install": "install httpfs",
    "load": "load httpfs",
    "load a path": "load '{file}'",
    "set": "set enable_external_access = true",
    "set global": "set global threads = 1",
    "reset": "reset enable_external_access",
    "set variable": "set variable x = 1",
    "pragma": "pragma database_list",
    "pragma with a value": "pragma enable_external_access = true",
    "pragma as table": "select * from pragma_table_info('locations')",
    "call": "call pragma_version()",
    "explain analyze": "explain analyze select * from '{file}'",
    "prepare": "prepare p as select * from '{file}'",
    "execute": "execute p",
    "several statements": "select 1; copy (select 1) to '{new}'",
    "several after a comment": "select 1 /* ; */; attach '{new}'",
    "begin": "begin; select 1",
    "use": "use main",
    "checkpoint": "checkpoint",
    "getenv": "select getenv('LCNB_STATE_DIR')",
    "current_setting": "select current_setting('home_directory')",
    "getvariable": "select getvariable('python_frame')",
    "query": "select * from query('select * from read_text(''{file}'')')",
    "query_table": "select * from query_table('{file}')",
    "query_table of a table": "select * from query_table('locations')",
    "json_execute_serialized_sql": "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "settings": "select * from duckdb_settings()",
    "secrets": "select * from duckdb_secrets(redact = false)",
    "which_secret": "select * from which_secret('s3://x', 's3')",
    "logs": "select * from duckdb_logs()",
    "catalog": "select * from information_schema.tables",
    "pg catalog": "select * from pg_catalog.pg_settings",
    "system tables": "select * from sqlite_master",
    "show databases": "show databases",
    "show all": "show all tables",
    "python variable": "select * from python_frame",
    "local python variable": "select * from local_frame",
    "python variable in a with": "with a as (from python_frame) select * from a",
    "pandas scan": "select * from pandas_scan({pointer})",
    "arrow scan": "select * from arrow_scan({pointer}, {pointer}, {pointer})",
    "python map": "select * from python_map_function(1)",
    "other database": "select * from other.main.locations",
    "temporary schema": "select * from temp.locations",
    "write_log": "select write_log('x')",
    "sleep": "select sleep_ms(100000000)",
    "nextval": "select nextval('x')",
}  # fmt: skip


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file with the canary, which no query may read. Reading it changes its access time, which is set long ago."""
    path = tmp_path / "secret.csv"
    path.write_text(f"a\n{CANARY}\n")
    os.utime(path, (1_000_000, 1_000_000))
    return path


class Listener:
    """A server of this machine that counts who connects."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


@pytest.fixture
def listener() -> Any:
    found = Listener()
    yield found
    found.socket.close()


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile(attack: str, served: Served, secret_file: Path, listener: Listener) -> None:
    """The query is refused before anything is sent; its file was not read, nothing was written, nobody was called."""
    sandbox, lc = served(fleet=3)
    local_frame = pd.DataFrame({"a": [CANARY]})
    before = sorted(secret_file.parent.rglob("*"))
    query = HOSTILE[attack].format(
        file=secret_file,
        folder=secret_file.parent,
        new=secret_file.parent / "new.db",
        url=f"http://127.0.0.1:{listener.socket.getsockname()[1]}",
        pointer=id(local_frame),
    )
    with pytest.raises(InputError, match="Nothing was sent") as refused:
        lc.sql(query)
    assert CANARY not in str(refused.value)
    assert not sandbox.log
    assert secret_file.stat().st_atime == 1_000_000
    assert secret_file.read_text() == f"a\n{CANARY}\n"
    assert sorted(secret_file.parent.rglob("*")) == before
    assert not listener.connections


#: What DuckDB itself must refuse, should our look at the query miss it.
OUTSIDE = (
    "read_csv", "read_text", "read_json", "read_parquet", "glob", "file as table", "url as table", "url in read_csv",
    "copy to", "copy table to", "export", "attach", "install", "load", "load a path", "set", "set global",
    "pragma with a value", "getenv", "python variable", "local python variable", "create secret", "sniff_csv",
)  # fmt: skip


@pytest.mark.parametrize("attack", OUTSIDE)
def test_database_is_locked(attack: str, secret_file: Path, listener: Listener) -> None:
    """The database refuses by itself what reaches outside: two independent checks would have to fail."""
    local_frame = python_frame
    before = sorted(secret_file.parent.rglob("*"))
    query = HOSTILE[attack].format(
        file=secret_file,
        folder=secret_file.parent,
        new=secret_file.parent / "new.db",
        url=f"http://127.0.0.1:{listener.socket.getsockname()[1]}",
        pointer=id(local_frame),
    )
    with Session() as session:
        session.load("locations", pd.DataFrame({"slug": ["MIA1"]}))
        for run in (session._database.execute, session._database.sql):
            with pytest.raises(import_duckdb().Error):
                run(query).fetchall()
    assert secret_file.stat().st_atime == 1_000_000
    assert sorted(secret_file.parent.rglob("*")) == before
    assert not listener.connections


def test_canary_is_readable(secret_file: Path) -> None:
    """An ordinary DuckDB reads that file and that variable: so the tests above can fail."""
    database = import_duckdb().connect()
    assert CANARY in str(database.execute(f"select * from read_csv('{secret_file}')").fetchall())
    assert CANARY in str(database.execute("select * from python_frame").fetchall())
    database.close()


#: Functions that are harmless, though they look as if they were not.
HARMLESS = {
    "select count(*) as n from range(5)": 5,
    "select count(*) as n from generate_series(1, 5)": 5,
    "select count(*) as n from unnest([1, 2, 3])": 3,
    "select count(*) as n from json_each('{\"a\": 1}')": 1,
    "select length('/etc/passwd') as n": 11,
    "select 'copy to; attach' = 'x' as n": False,
    "select 1 as getenv": 1,
    "select sum(n) as n from (select unnest([1, 2]) as n)": 3,
    "select 5 as n;  -- ; drop table x": 5,
}


@pytest.mark.parametrize("query", HARMLESS)
def test_harmless(query: str, served: Served) -> None:
    """What only looks dangerous is answered."""
    _, lc = served(fleet=3)
    assert lc.sql(query).iloc[0, 0] == HARMLESS[query]


def test_a_query_leaves_the_next_one_alone(served: Served) -> None:
    """Each query has a database of its own: nothing of one is there in the next."""
    _, lc = served(fleet=3)
    assert lc.sql("select count(*) as n from locations").n[0] > 0
    with Session() as session, pytest.raises(import_duckdb().Error):
        session._execute("select * from locations")
