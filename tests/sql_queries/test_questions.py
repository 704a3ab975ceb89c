"""Questions in SQL: the same answers as pandas gives, and only the tables that a query names are read."""

from __future__ import annotations

import asyncio
import builtins
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lcnb
from conftest import MANY, TOKEN, wait_until
from lcnb.changes.accessor import SelectedRows
from lcnb.errors import DriftWarning, InputError, QueryTimeout
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.sql_queries import engine, tables

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]
LONG_QUERY = "select count(*) from range(10000000) a, range(10000000) b where (a.range * b.range) % 7 = 3"


def by_location(t: Any) -> pd.DataFrame:
    found = t.inventory.groupby("location").monthly_value.sum(min_count=1)
    return found.rename("total").reset_index()


def missing_plan(t: Any) -> pd.DataFrame:
    return t.inventory[t.inventory.plan.isna()][["label", "price_note"]].sort_values("label")


def running_by_country(t: Any) -> pd.DataFrame:
    rows = t.inventory[t.inventory.state == "running"].groupby("country")
    return rows.agg(n=("label", "size"), cpus=("cpus", "sum")).astype("Int64").reset_index()


def images_per_distro(t: Any) -> pd.DataFrame:
    return t.images.groupby("distro").slug.nunique().astype("Int64").rename("n").reset_index()


def cheapest(t: Any) -> pd.DataFrame:
    rows = t.plans.sort_values(["location", "monthly_value"]).groupby("location").head(1)
    return rows[["location", "slug", "monthly_value"]]


def over_average(t: Any) -> pd.DataFrame:
    mean = t.inventory.groupby("currencycode").monthly_value.transform("mean")
    return t.inventory[t.inventory.monthly_value > mean][["label"]].sort_values("label")


def joined(t: Any) -> pd.DataFrame:
    rows = t.inventory.merge(t.plans, left_on=["location", "plan"], right_on=["location", "slug"])
    return rows[["label", "bandwidth"]].sort_values("label")


def without_machines(t: Any) -> pd.DataFrame:
    return t.locations[~t.locations.slug.isin(t.instances.location)][["slug"]].sort_values("slug")


def ranks(t: Any) -> pd.DataFrame:
    rows = t.inventory.sort_values(["memory", "label"], ascending=[False, True]).head(5)
    return rows.assign(rank=pd.array(range(1, 6), "Int64"))[["label", "memory", "rank"]]


def share(t: Any) -> pd.DataFrame:
    rows = t.inventory.groupby("state").size().rename("n").reset_index()
    return rows.assign(share=(rows.n / len(t.inventory)).astype("Float64"))[["state", "share"]]


def flags(t: Any) -> pd.DataFrame:
    return t.instances.groupby("suspended").size().astype("Int64").rename("n").reset_index()


def twins(t: Any) -> pd.DataFrame:
    counts = t.instances.label.value_counts()
    return pd.DataFrame({"n": pd.array([int((counts > 1).sum())], "Int64")})


def largest_memory(t: Any) -> pd.DataFrame:
    return pd.DataFrame({"top": pd.array([t.instances.memory.max()], "Int64"), "mean": pd.array([t.instances.memory.mean()], "Float64")})  # fmt: skip


def label_prefixes(t: Any) -> pd.DataFrame:
    prefix = t.instances.label.str.split("-").str[0].rename("prefix")
    return prefix.value_counts().rename("n").astype("Int64").reset_index().sort_values("prefix")


def uptime_words(t: Any) -> pd.DataFrame:
    rows = t.inventory.assign(up=np.where(t.inventory.state == "running", "up", "not up"))
    return rows.groupby("up").size().astype("Int64").rename("n").reset_index()


def both_names(t: Any) -> pd.DataFrame:
    names = pd.concat([t.sshkeys.slug, t.snapshots.slug])
    return names.sort_values().to_frame("slug")


def no_rows(t: Any) -> pd.DataFrame:
    return t.inventory[t.inventory.label == "nobody"][["label", "cpus", "monthly_value"]]


def snapshot_sizes(t: Any) -> pd.DataFrame:
    total = t.snapshots["size"].sum()
    return pd.DataFrame({"total": pd.array([total], t.snapshots["size"].dtype)})


def whole_listing(t: Any) -> pd.DataFrame:
    return t.instances.sort_values(["identifier", "label"], na_position="last")


def median_price(t: Any) -> pd.DataFrame:
    found = t.plans.groupby("currencycode").monthly_value.median()
    return found.rename("middle").reset_index()


#: SQL, and the same question in pandas.
SAME: dict[str, Callable[[Any], pd.DataFrame]] = {
    "select location, sum(monthly_value) as total from inventory group by 1 order by 1": by_location,
    "select label, price_note from inventory where plan is null order by label": missing_plan,
    "select country, count(*) as n, sum(cpus) as cpus from inventory where state = 'running' group by all order by all": running_by_country,
    "select distro, count(distinct slug) as n from images group by 1 having distro is not null order by 1": images_per_distro,
    "select location, slug, monthly_value from plans qualify row_number() over (partition by location order by monthly_value) = 1 order by 1": cheapest,
    "with a as (select currencycode, avg(monthly_value) as mean from inventory group by 1) select label from inventory join a using (currencycode) where monthly_value > mean order by 1": over_average,
    "select i.label, p.bandwidth from inventory i join plans p on (i.location, i.plan) = (p.location, p.slug) order by 1": joined,
    "select slug from locations where slug not in (select location from instances where location is not null) order by 1": without_machines,
    "select label, memory, row_number() over (order by memory desc, label) as rank from inventory order by rank limit 5": ranks,
    "select state, count(*) / (select count(*) from inventory) as share from inventory group by 1 order by 1": share,
    "select suspended, count(*) as n from instances group by 1 order by 1": flags,
    "select count(*) as n from (select label from instances group by 1 having count(*) > 1)": twins,
    "select max(memory) as top, avg(memory) as mean from instances": largest_memory,
    "select split_part(label, '-', 1) as prefix, count(*) as n from instances group by 1 order by 1": label_prefixes,
    "select case when state = 'running' then 'up' else 'not up' end as up, count(*) as n from inventory group by 1 order by 1": uptime_words,
    "select slug from sshkeys union all select slug from snapshots order by 1": both_names,
    "select label, cpus, monthly_value from inventory where label = 'nobody'": no_rows,
    "select sum(size) as total from snapshots": snapshot_sizes,
    "select * exclude account from instances order by identifier nulls last, label": whole_listing,
    "select currencycode, median(monthly_value) as middle from plans group by 1 order by 1": median_price,
}  # fmt: skip


class Tables:
    """The listings of a client, each read once."""

    def __init__(self, lc: lcnb.LetsCloud) -> None:
        for name in tables.API_TABLES:
            setattr(self, name, getattr(lc, name)())


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    """The base URL of an account whose clock stands still, so that it answers the same twice."""
    with serve_in_thread(Sandbox(World(Clock(0)), TOKEN, rate_limit=MANY)) as base_url:
        yield base_url


@pytest.fixture
def lc(account: str) -> Iterator[lcnb.LetsCloud]:
    """A client of that account."""
    with lcnb.connect(token=TOKEN, base_url=account) as client:
        yield client


@pytest.fixture(scope="module")
def frames(account: str) -> Tables:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LCNB_CATALOGUE", "0")
        with lcnb.connect(token=TOKEN, base_url=account) as client:
            return Tables(client)


@pytest.mark.parametrize("query", SAME)
def test_same_as_pandas(query: str, lc: lcnb.LetsCloud, frames: Tables) -> None:
    """SQL and pandas give the same values and dtypes."""
    wanted = SAME[query](frames).reset_index(drop=True)
    wanted.attrs = {}
    answer = lc.sql(query)
    assert answer.attrs.pop("lcnb")["kind"] == "sql"
    pd.testing.assert_frame_equal(answer, wanted)


# --- what is read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("select 1", set()),
        ("select count(*) from instances", {"instances"}),
        ("select * from sshkeys", {"sshkeys"}),
        ("select count(*) from SNAPSHOTS s", {"snapshots"}),
        ('select count(*) from "Locations"', {"locations"}),
        ("select count(*) from main.locations", {"locations"}),
        ("select count(*) from memory.main.locations", {"locations"}),
        ("with sshkeys as (select 1 as a) select * from sshkeys", set()),
        ("with plans as (select * from sshkeys) select * from PLANS", {"sshkeys"}),
        ("with sshkeys as (select * from sshkeys) select * from sshkeys", {"sshkeys"}),
        ("with a as (select 1), b as (select * from a) select (select count(*) from snapshots) from b", {"snapshots"}),
        ("select * from (with plans as (select 1) select * from plans) x, sshkeys", {"sshkeys"}),
        ("with recursive sshkeys as (select 1 as n union all select n + 1 from sshkeys where n < 3) select * from sshkeys", set()),
        ("select 1 where exists (select 1 from instances i where i.label in (select label from snapshots))", {"instances", "snapshots"}),
        ("select * from sshkeys union select * from sshkeys", {"sshkeys"}),
        ("pivot instances on state in ('running', 'off') using count(*)", {"instances"}),
        ("select * from sshkeys, lateral (select count(*) from snapshots where label = title)", {"sshkeys", "snapshots"}),
        ("describe inventory", set()),
        ("summarize sshkeys", {"sshkeys"}),
        ("show tables", set()),
        ("select count(*) from journal, runs", set()),
        ("select 'plans' as instances, 'from sshkeys' -- from images", set()),
        ("values (1), (2)", set()),
    ],
)  # fmt: skip
def test_reads_what_is_named(query: str, kinds: set[str], served: Served) -> None:
    """Only the tables that a query names are read: not those of its WITH, of its texts or of its comments."""
    sandbox, lc = served(fleet=8)
    lc.sql(query)
    paths = [entry["path"] for entry in sandbox.log]
    assert {path.rpartition("/")[2].replace("ssh-keys", "sshkeys") for path in paths} == kinds
    assert len(paths) == len(set(paths))


def test_together(served: Served) -> None:
    """Tables that are needed together share their requests: each is sent once."""
    sandbox, lc = served(fleet=8)
    query = "select count(*) from inventory, instances, plans, images, locations, sshkeys, snapshots"
    lc.sql(query)
    paths = [entry["path"] for entry in sandbox.log]
    assert len(paths) == len(set(paths))
    locations = len(lc.locations())
    # Machines, profile, locations, keys, snapshots; plans and images of each.
    assert len(paths) == 5 + 2 * locations


def test_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings that are needed together are on their way at the same time."""
    _, lc = served(fleet=8)
    from lcnb.transport import sync

    barrier = threading.Barrier(3, timeout=600)
    send = sync._SyncPool.send
    monkeypatch.setattr(sync._SyncPool, "send", lambda *args: (barrier.wait(), send(*args))[1])
    assert len(lc.sql("select (select count(*) from sshkeys), (select count(*) from snapshots), (select count(*) from instances)")) == 1  # fmt: skip


@pytest.mark.parametrize("query", ["select 1 from nobody", "select nothing from inventory", "selec 1", "select upper(cpus) from inventory", "select 'x'::blob from plans"])  # fmt: skip
def test_nothing_is_sent_for_a_wrong_query(query: str, served: Served) -> None:
    """What is wrong in a query is known before the first request."""
    sandbox, lc = served(fleet=8)
    with pytest.raises(InputError, match=r"Nothing was sent\.$") as refused:
        lc.sql(query)
    assert refused.value.sent is False
    assert not sandbox.log


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from inventry", "query: no table 'inventry' at line 1, column 15 (did you mean 'inventory'?). Tables: facts, history, images, instances, inventory, "),
        ("select 1\nfrom  Plnas", "no table 'Plnas' at line 2, column 7 (did you mean 'plans'?)"),
        ("select lable from inventory", "no column 'lable' at line 1, column 8. The nearest columns: label, "),
        ("select 'é€😀', nix from plans", "no column 'nix' at line 1, column 15."),
        ("select foo(1)", "no scalar function 'foo' at line 1, column 8. Did you mean 'floor'?"),
        ("select 1 fro plans", 'syntax error at or near "plans" at line 1, column 14.'),
        ("select location, count(*) from inventory", 'column "location" must appear in the GROUP BY clause'),
        ("", "query: is empty. Pass one SELECT."),
        (" -- nothing\n;", "query: is empty"),
        ("select 1; select 2", "query: has 2 statements. Pass one SELECT."),
        ("select 1%0", "Division by zero in expression (1 % 0). Use TRY(...) to return NULL for this expression."),
        ("select 1e30::hugeint as big", "the column 'big' of the result has a value that is too large for Int64. Cast it"),
        ("select 'x'::blob as b", "the column 'b' of the result has the type BLOB, which a table cannot hold. Cast it to text"),
        ("pivot inventory on location using count(*)", "PIVOT needs the values that become columns. Name them: PIVOT inventory ON location IN ("),
        ("select * from plans p, instances where p.locaton = 'x'", "locaton"),
        ("select list_transform([1], x -> x)", "eprecated"),
        ("select $1", "Values were not provided for the following parameters: 1"),
    ],
)  # fmt: skip
def test_messages(query: str, message: str, lc: lcnb.LetsCloud) -> None:
    """An error names the thing, its place and what to do, in one line."""
    with pytest.raises(InputError) as refused:
        lc.sql(query)
    text = str(refused.value)
    assert message in text
    assert "\n" not in text
    assert "SET " not in text
    assert "{" not in text


@pytest.mark.parametrize("query", [None, 1, b"select 1", ["select 1"], "select '\ud800'"])
def test_no_text(query: Any, lc: lcnb.LetsCloud) -> None:
    """A query that is no text is refused."""
    with pytest.raises(InputError, match="expected SQL as text"):
        lc.sql(query)


def test_deep_nesting(lc: lcnb.LetsCloud) -> None:
    """A query of absurd depth is refused, and ends nothing else."""
    for query in ("select " + "(" * 3000 + "1" + ")" * 3000, "select " + "-" * 1 + " - " * 3000 + "1", "select " * 1 + "(select " * 400 + "1" + ")" * 400):  # fmt: skip
        try:
            assert len(lc.sql(query)) == 1
        except InputError as refused:
            assert len(str(refused)) < 1000


# --- results ----------------------------------------------------------------------------------------------

#: Expression → dtype and value of its column.
TYPES: dict[str, tuple[str, Any]] = {
    "true": ("boolean", True),
    "null": ("str", None),
    "1::tinyint": ("Int64", 1),
    "18446744073709551615::ubigint // 4": ("Int64", 2**62 - 1),
    "sum(1)": ("Int64", 1),
    "count(*)": ("Int64", 1),
    "9::decimal(9, 0)": ("Int64", 9),
    "1.25::decimal(9, 2)": ("Float64", 1.25),
    "sum(0.5)": ("Float64", 0.5),
    "1::float": ("Float64", 1.0),
    "'São Paulo'": ("str", "São Paulo"),
    "''": ("str", ""),
    "'a'::enum('a', 'b')": ("str", "a"),
    "'1f3c0f3e-0000-0000-0000-000000000000'::uuid": ("str", "1f3c0f3e-0000-0000-0000-000000000000"),
    "'{\"a\": 1}'::json": ("str", '{"a": 1}'),
    "time '01:02:03'": ("str", "01:02:03"),
    "date '2026-02-03'": ("datetime64[us, UTC]", pd.Timestamp("2026-02-03", tz="UTC")),
    "timestamp '2026-02-03 04:05:06'": ("datetime64[us, UTC]", pd.Timestamp("2026-02-03 04:05:06", tz="UTC")),
    "timestamptz '2026-02-03 04:05:06-03'": ("datetime64[us, UTC]", pd.Timestamp("2026-02-03 07:05:06", tz="UTC")),
    "timestamp_ns '2026-02-03 04:05:06.123456789'": ("datetime64[us, UTC]", pd.Timestamp("2026-02-03 04:05:06.123456", tz="UTC")),
    "interval '1 month 2 days 3 seconds'": ("timedelta64[us]", pd.Timedelta(days=32, seconds=3)),
    "[1, null]": ("object", [1, None]),
    "[1, 2]::integer[2]": ("object", [1, 2]),
    "{'a': [1]}": ("object", {"a": [1]}),
    "map {'k': 'v'}": ("object", {"k": "v"}),
}  # fmt: skip


@pytest.mark.parametrize("expression", TYPES)
@pytest.mark.parametrize("missing", [False, True])
def test_types(expression: str, missing: bool, lc: lcnb.LetsCloud) -> None:
    """Each type of DuckDB has one dtype of lcnb, with a missing value and without rows too."""
    dtype, value = TYPES[expression]
    query = f"select {expression} as x"
    if missing:
        query = (
            f"with q as ({query}) select x from q where false union all select null union all select x from q"
        )
    column = lc.sql(query).x
    assert column.dtype == dtype
    assert (None if value is None and pd.isna(column.iloc[-1]) else column.iloc[-1]) == value
    if missing:
        assert column.iloc[0] is None or pd.isna(column.iloc[0])
    assert lc.sql(f"select * from (select {expression} as x) where false").x.dtype == dtype


def test_nan_and_infinity(lc: lcnb.LetsCloud) -> None:
    """Numbers that are none stay numbers."""
    row = lc.sql("select 'inf'::double as a, '-inf'::double as b").iloc[0]
    assert (row.a, row.b) == (math.inf, -math.inf)


def test_repeated_names(lc: lcnb.LetsCloud) -> None:
    """Columns of the same name get a number, and never the name of another column."""
    assert list(lc.sql("select 1 as a, 2 as a, 3 as a_1, 4 as a").columns) == ["a", "a_2", "a_1", "a_3"]


def test_odd_labels(served: Served) -> None:
    """Texts of every kind come through as they are."""
    _, lc = served(fleet=3)
    label = "a'b\"c$1 – São 😀"
    values = lc.sql("select $label as label, $other as other", {"label": label, "other": None})
    assert values.label[0] == label
    assert pd.isna(values.other[0])


def test_parameters(lc: lcnb.LetsCloud) -> None:
    """Values can be passed apart from the query."""
    assert lc.sql("select label from instances where label = $1", ["web-01"]).label.tolist() == ["web-01"]
    assert lc.sql("select label from instances where label = ?", ("web-01",)).label.tolist() == ["web-01"]
    assert lc.sql("select label from instances where label = $l", {"l": "' or 1=1 --"}).empty
    assert lc.sql("select $1 + 1 as n", [np.int64(3)]).n[0] == 4
    assert lc.sql("select $1 as t", [pd.Timestamp("2026-01-01", tz="UTC")]).t.dtype == "datetime64[us, UTC]"


@pytest.mark.parametrize("parameters", ["web-01", 5, {"web-01"}, iter([1]), [object()], [lcnb.Secret("a-secret")], [], [1, 2], {"b": 1}])  # fmt: skip
def test_wrong_parameters(parameters: Any, served: Served) -> None:
    """Values that do not fit the query, or that DuckDB does not know, are refused; a secret is not shown."""
    sandbox, lc = served(fleet=3)
    with pytest.raises(InputError, match="Nothing was sent") as refused:
        lc.sql("select $1 as x from instances", parameters)
    assert "a-secret" not in str(refused.value)
    assert not sandbox.log


def test_account_column(lc: lcnb.LetsCloud) -> None:
    """Each table has the account as its first column; it is missing where the token has no account of lcnb.toml."""
    for name in tables.table_names():
        frame = lc.sql(f"select * from {name}")
        assert frame.columns[0] == "account"
        assert frame.account.dtype == "str"
        assert lc.sql(f"describe {name}").column_type[0] == "VARCHAR"


def test_tables_are_listings(lc: lcnb.LetsCloud) -> None:
    """Each table has the columns and dtypes of its frame, in order."""
    for name in tables.API_TABLES:
        frame, answer = getattr(lc, name)(), lc.sql(f"from {name}").drop(columns="account")
        assert list(answer.dtypes) == list(frame.dtypes)
        assert list(answer) == list(frame)
        assert len(answer) == len(frame)


def test_local_tables(served: Served) -> None:
    """The journal and the runs are tables too."""
    _, lc = served(fleet=8)
    lc.reboot(label="web-01").apply(confirm=True)
    found = lc.sql("select action, outcome from journal where target like '%web-01%'")
    assert found.action.tolist() == ["reboot"]
    assert lc.sql("select count(*) as n from runs").n[0] == len(lcnb.runs())


@pytest.mark.parametrize("table", ["inventory", "instances"])
def test_history_keeps_what_a_query_read(table: str, served: Served) -> None:
    """The machines that a query has read are in the history, as those of every other reading."""
    _, lc = served(fleet=8)
    known = lc.sql(f"select identifier from {table} where identifier is not null").identifier
    assert set(lc.sql("select identifier from history").identifier) == set(known)


def test_show_tables(lc: lcnb.LetsCloud) -> None:
    """SHOW TABLES lists all tables with what they hold."""
    frame = lc.sql("SHOW TABLES;")
    assert frame.name.tolist() == tables.table_names()
    assert frame.description.str.len().min() > 10


@pytest.mark.parametrize("query", ["select count(*) from (show tables)", "from (show tables)", "show", "describe", "show plans", "show tables from main"])  # fmt: skip
def test_other_show(query: str, lc: lcnb.LetsCloud) -> None:
    """SHOW in another form is refused, and says what there is."""
    with pytest.raises(InputError, match="the query SHOW TABLES only; DESCRIBE shows the columns"):
        lc.sql(query)


def test_answer_has_no_rows_to_change(lc: lcnb.LetsCloud) -> None:
    """An answer is no listing: `.lc` refuses it, whatever its columns are called."""
    answer = lc.sql("select * exclude account from instances")
    with pytest.raises(InputError, match="not a listing"):
        SelectedRows(answer).power_off()


def test_drift_of_a_table(served: Served) -> None:
    """What was odd in a table is said once, with the name of the table; the good rows are used."""
    sandbox, lc = served(fleet=8)
    sandbox.world.machines[3]["cpus"] = "many"
    with pytest.warns(DriftWarning, match=r"sql: the response was odd at instances: \$.data\[\d\]") as warned:
        frame = lc.sql("select count(*) as n, count(cpus) as known from instances")
    assert len(warned) == 1
    assert frame.iloc[0].tolist() == [8, 7]
    assert frame.attrs["lcnb"]["drift_count"] == 1


async def ask(base_url: str) -> list[pd.DataFrame]:
    async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as lc:
        return list(await asyncio.gather(*(lc.sql(query) for query in list(SAME)[:4])))


def test_async(lc: lcnb.LetsCloud) -> None:
    """The asynchronous client gives the same answers, to several questions at once."""
    for query, frame in zip(SAME, asyncio.run(ask(lc.settings.base_url)), strict=False):
        pd.testing.assert_frame_equal(frame, lc.sql(query))


def test_cancelled(lc: lcnb.LetsCloud) -> None:
    """A cancelled task ends its query: no thread of it is left."""

    async def cancel() -> None:
        async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=lc.settings.base_url) as client:
            task = asyncio.create_task(client.sql(LONG_QUERY))
            while not query_threads():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    wait_until(lambda: not query_threads())


def query_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "lcnb-sql"]


def test_time_limit(served: Served) -> None:
    """A query that takes longer than the timeout of its client is stopped, and says how to allow more."""
    _, lc = served(fleet=3, timeout=0.5)
    with pytest.raises(QueryTimeout, match=r"stopped after 0.5 s. .*timeout="):
        lc.sql(LONG_QUERY)
    wait_until(lambda: not query_threads())
    assert issubclass(QueryTimeout, TimeoutError)


def test_memory_limit(lc: lcnb.LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that needs too much memory is an error, and the process goes on."""
    monkeypatch.setitem(engine._LOCKED, "memory_limit", "50MB")
    with pytest.raises(InputError, match=r"more than 1GB of memory\. Make it smaller"):
        lc.sql("select list(a.range || 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') as x from range(50000000) a")


def test_without_duckdb(lc: lcnb.LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DuckDB the error says how to install it."""
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "duckdb":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'lcnb\[sql\]'"):
        lc.sql("select 1")


def test_sessions_leave_nothing(lc: lcnb.LetsCloud, own_home: Path) -> None:
    """A query writes nothing: neither into the home nor into the folder where it runs."""
    lc.sql("select count(*) from inventory")
    assert not list(own_home.rglob("*duckdb*"))
