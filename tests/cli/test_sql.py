"""`lcnb sql`, `%%lcnb sql` and `lcnb.sql`: questions from a shell, a cell and over several accounts."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from test_accounts import two as two

import lcnb
from conftest import Call, lcnb_here
from lcnb.cli.magic import lcnb as magic
from lcnb.errors import AuthenticationError, DriftWarning, InputError
from lcnb.sandbox import Sandbox

QUERY = "select location, count(*) as machines from inventory group by 1 order by 1"


@pytest.mark.parametrize("output", ["table", "json", "csv", "parquet"])
def test_outputs(output: str, call: Call, account_env: Any) -> None:
    """The command prints the answer in the formats of a listing."""
    with lcnb.connect() as lc:
        wanted = lc.sql(QUERY)
    result = call("sql", QUERY, "-o", output)
    assert result.code == 0
    if output == "table":
        assert "MIA1" in result.out
        return
    read = {"json": lambda: pd.DataFrame(json.loads(result.out)), "csv": lambda: pd.read_csv(io.StringIO(result.out)), "parquet": lambda: pd.read_parquet(io.BytesIO(result.data))}  # fmt: skip
    assert read[output]().to_dict("list") == wanted.to_dict("list")


def test_rows_and_columns(call: Call, account_env: Any) -> None:
    """`--sort`, `--limit` and `--columns` apply to an answer too, in parquet with the dtypes of the answer."""
    query = "select label, cpus, interval 1 day as day, [1, 2] as list from inventory"
    with lcnb.connect() as lc:
        most = lc.sql("select max(cpus) as m from inventory").m[0]
    done = call(
        "sql", query, "--sort", "-cpus", "--limit", "1", "--columns", "cpus,day,list", "-o", "parquet"
    )
    found = pd.read_parquet(io.BytesIO(done.data))
    assert (found.cpus.tolist(), str(found.day.dtype)) == ([most], "timedelta64[us]")
    assert found.columns.tolist() == ["cpus", "day", "list"]
    assert call("sql", "select 42 as a_long_heading", "--no-header").out == "42\n"
    assert call("sql", "select {'a': 1} as s from inventory", "--sort", "s").code == 2


def test_stdin(account_env: Any) -> None:
    """With - the query is read from stdin."""
    done = lcnb_here("sql", "-", "-o", "csv", stdin="select 1 as a,\n  'é' as b")
    assert (done.returncode, done.stdout) == (0, "a,b\n1,é\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select * from inventry"], "no table 'inventry' at line 1, column 15 (did you mean 'inventory'?)"),
        (
            ["select 1", "--accounts", "all", "--account", "x"],
            "use --accounts, or one of --account and --sandbox",
        ),
        (["select 1", "--accounts", "all", "--sandbox"], "use --accounts, or one of --account and --sandbox"),
        (["copy (select 1) to 'x.csv'"], "A query only reads."),
        ([""], "is empty"),
    ],
)
def test_wrong(arguments: list[str], message: str, call: Call, account_env: Any) -> None:
    """A wrong query or option ends with 2, and nothing is sent."""
    result = call("sql", *arguments)
    assert result.code == 2
    assert message in result.err
    assert not result.out


def test_cell(account_env: Any) -> None:
    """`%%lcnb sql` answers the query in the cell."""
    shell = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "lcnb")
        inventory = pd.DataFrame({"location": ["a variable of the notebook"]})
        shell.user_ns["inventory"] = inventory
        done = shell.run_cell(f"%%lcnb sql\n{QUERY}\n")
        assert done.success
        assert "MIA1" in set(done.result.location)
        assert "a variable of the notebook" not in set(done.result.location)
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        ("sql", None, "starts with the line %%lcnb sql"),
        ("instances", "select 1", "starts with the line %%lcnb sql"),
        ("sql --location MIA1", "select 1", "use WHERE"),
        ("sql", "select 1 from nobody", "no table 'nobody'"),
    ],
)
def test_wrong_cell(line: str, cell: str | None, message: str, account_env: Any) -> None:
    """A cell that cannot be right is refused."""
    with pytest.raises(InputError, match=message):
        magic(line, cell)


# --- several accounts -------------------------------------------------------------------------------------


def test_all_accounts(two: dict[str, Sandbox]) -> None:
    """All accounts of lcnb.toml are asked, and each row names its own."""
    frame = lcnb.sql("select account, count(*) as n from inventory group by 1 order by n")
    assert frame.to_dict("list") == {"account": ["prod", "lab"], "n": [5, 6]}
    assert frame.attrs["lcnb"]["kind"] == "sql"


def test_chosen_accounts(two: dict[str, Sandbox], call: Call) -> None:
    """A list chooses accounts; the same query works for one account."""
    query = "select account, count(*) as n from instances group by 1 order by 1"
    assert lcnb.sql(query, accounts=["lab"]).account.tolist() == ["lab"]
    with lcnb.connect("lab") as lc:
        pd.testing.assert_frame_equal(lc.sql(query), lcnb.sql(query, accounts=["lab"]))
    assert call("sql", query, "--accounts", "prod,lab", "-o", "csv").out == "account,n\nlab,6\nprod,5\n"
    assert call("sql", query, "--accounts", "all", "-o", "csv").out == "account,n\nlab,6\nprod,5\n"
    assert call("sql", query, "--account", "lab", "-o", "csv").out == "account,n\nlab,6\n"


def test_join_across_accounts(two: dict[str, Sandbox]) -> None:
    """A query can compare accounts."""
    query = (
        "select a.slug from locations a join locations b using (slug) where a.account = $1 and b.account = $2"
    )
    assert len(lcnb.sql(query, ["prod", "lab"])) > 0


def test_account_that_fails(two: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that cannot be read is left out with a warning; when none can, its error is raised."""
    monkeypatch.setenv("LAB_TOKEN", "wrong-token-471147114711")
    query = "select distinct account from instances"
    with pytest.warns(DriftWarning, match="account lab: unavailable: GET /"):
        frame = lcnb.sql(query)
    assert frame.account.tolist() == ["prod"]
    with pytest.raises(AuthenticationError):
        lcnb.sql(query, accounts=["lab"])


def test_shared_tables_once(two: dict[str, Sandbox]) -> None:
    """The journal holds all accounts once, each row with its own account."""
    for name in two:
        with lcnb.connect(name) as lc:
            machine = lc.sql("select identifier from instances where state = 'running' limit 1").identifier[0]
            lc.reboot(machine).apply(confirm=True)
    frame = lcnb.sql("select account, count(*) as n from journal group by 1 order by 1")
    assert frame.to_dict("list") == {"account": ["lab", "prod"], "n": [1, 1]}


def test_wrong_query_asks_nobody(two: dict[str, Sandbox]) -> None:
    """A wrong query is refused before any account is asked."""
    for query in ("select x from inventory", "from nobody", "attach 'x'"):
        with pytest.raises(InputError, match="Nothing was sent"):
            lcnb.sql(query)
    assert not any(box.log for box in two.values())


# --- interrupts -------------------------------------------------------------------------------------------

LONG_QUERY = "select count(*) from range(10000000) a, range(10000000) b where (a.range * b.range) % 7 = 3"
#: `lcnb sql` that says when DuckDB has begun.
ANNOUNCING = """
import signal, sys, threading
signal.signal(2, signal.default_int_handler)
from lcnb.sql_queries.engine import Session
start = Session.start_query
def announced(*arguments):
    task = start(*arguments)
    print("begun", flush=True)
    return task
Session.start_query = announced
from lcnb.cli.main import main
sys.argv = ["lcnb", "sql", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("options", [[], ["--accounts", "all"]])
def test_interrupt(options: list[str], two: dict[str, Sandbox], tmp_path: Path) -> None:
    """Ctrl-C ends a query that would take days: the process says so and ends with 130."""
    command = [sys.executable, "-c", ANNOUNCING, LONG_QUERY, *(options or ["--account", "lab"])]
    env = {**os.environ, "LCNB_TIMEOUT": "80000"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n", process.communicate(timeout=600)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert errors.strip() == "interrupted"
