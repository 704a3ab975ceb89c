"""What may import what, by the source; what `import lcnb` costs; and the public names."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest

import lcnb
from benchmarks.code import cycles
from lcnb.cli.options import EXPORT_FORMATS

pytestmark = pytest.mark.fresh_python
PACKAGE = Path(lcnb.__file__).parent
#: A package imports from itself and from those above it. A name without a dot is a module or a package of lcnb.
ORDER = [
    "ground floor",
    "sandbox",
    "api",
    "transport",
    "leases",
    "facts",
    "frames",
    "history",
    "display",
    "changes",
    "sql_queries",
    "client",
    "multi_account",
    "runbooks",
    "exports",
    "widgets",
    "jupyter",
    "cli",
    "__main__",
]
#: Imports nothing of lcnb, so that one mistake does not hide on both sides; each module may start it.
ALONE = "sandbox"
#: Library → the only module that may import it.
DOORS = {
    "httpx": "transport.httpx_client",
    "papermill": "runbooks.engine.papermill_imports",
    "nbclient": "runbooks.engine.papermill_imports",
    "matplotlib": "display.charts",
    "keyring": "keyring_entries",
    "distributed": "runbooks.batch.cluster",
    "starlette": "sandbox.asgi",
    "pyarrow": "frames.arrow",
    "duckdb": "sql_queries.engine",
    "obstore": "cloud_store",
    "uvicorn": "sandbox.server",
}


@cache
def sources() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def imports() -> list[tuple[str, str]]:
    """Importing module and imported name, each import statement of the package: in functions and for types as well."""
    found = []
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [(module, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} has a relative import"
                assert node.module
                found += [(module, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def imported_modules() -> Iterator[tuple[str, str]]:
    """Importing and imported module of lcnb, without the prefix; the public names of `lcnb` are no import of their module."""
    for module, name in imports():
        if module != "__init__" and name.startswith("lcnb."):
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in sources():
                parts.pop()
            if parts:
                yield module, ".".join(parts)


def place(module: str) -> int:
    """Where a module is in the order; a module that is no package of the order is on the ground floor."""
    first = module.partition(".")[0]
    return ORDER.index(first) if first in ORDER else 0


def test_order_of_packages() -> None:
    """No module imports from a package below its own in the order, not even in a function or for a type."""
    upwards = {
        (module, name)
        for module, name in imported_modules()
        if name.partition(".")[0] != ALONE and place(name) > place(module)
    }
    assert not upwards


def test_no_cycles() -> None:
    """No module imports itself by way of others, not even in a function or for a type."""
    graph: dict[str, set[str]] = {module: set() for module in sources()}
    for module, name in imported_modules():
        if not (PACKAGE / name.replace(".", "/") / "__init__.py").is_file() and module != name:
            graph[module].add(name)
    assert cycles(graph) == []


def test_sandbox_stands_alone() -> None:
    """The sandbox imports nothing from the rest of lcnb: one mistake must not hide on both sides."""
    assert {
        name.partition(".")[0] for module, name in imported_modules() if module.partition(".")[0] == ALONE
    } == {ALONE}


@pytest.mark.parametrize(("library", "door"), list(DOORS.items()))
def test_one_door(library: str, door: str) -> None:
    """A library with consequences is imported by one module alone."""
    assert {module for module, name in imports() if name.partition(".")[0] == library} == {door}


def modules_after(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after `code`, in full."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@cache
def modules_before() -> set[str]:
    """Those of a Python that does nothing, with what its environment loads by itself."""
    return modules_after("")


def libraries_after(code: str) -> set[str]:
    """The libraries, besides Python's own, that `code` has loaded."""
    found = {name.partition(".")[0] for name in modules_after(code) - modules_before()}
    return found - sys.stdlib_module_names - {"lcnb"}


def called(*arguments: str) -> str:
    """A program that runs the command and outlives it; the account is one that nobody answers for."""
    return (
        "import os, sys; os.environ['LETSCLOUD_API_KEY'] = 'x'; "
        "os.environ['LCNB_BASE_URL'] = 'http://127.0.0.1:9'; "
        f"sys.argv = ['lcnb', *{list(arguments)}]\n"
        "from lcnb.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    )


def completing(**variables: str) -> str:
    """The same as the shell calls it to complete a line."""
    return f"import os; os.environ.update({variables})\n{called()}"


CLICK = {"click"}
BATCH = {"msgspec", "typing_extensions", "platformdirs"}
#: Checking parameters needs the typed objects.
CHECKING = {"click", "msgspec", "typing_extensions", "platformdirs"}


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import lcnb", set()),
        ("import lcnb; lcnb.LcnbError, lcnb.Secret, lcnb.accounts, lcnb.run", set()),
        ("import lcnb.config; lcnb.config.load_settings(token='x' * 20)", {"platformdirs"}),
        ("import lcnb.api.models, lcnb.api.calls, lcnb.files", {"msgspec", "typing_extensions"}),
        ("import lcnb.sandbox", set()),
        ("import lcnb.display.charts", set()),
        ("import lcnb.cli.main", CLICK),
        (called("--version"), set()),
        (called("--help"), CLICK),
        (called("run", "--help"), CLICK),
        (called("plans", "--locaton", "x"), CLICK),
        (called("plasn"), CLICK),
        (completing(_LCNB_COMPLETE="zsh_source"), CLICK),
        (completing(_LCNB_COMPLETE="bash_complete", COMP_WORDS="lcnb run --", COMP_CWORD="2"), CLICK),
        (called("run", "inventory", "-p", "locaton=MIA1"), CHECKING),
        (called("run", "inventory", "-p", "locaton"), CHECKING),
        ("import lcnb.runbooks.batch.runner", BATCH),  # its server for warm runs imports the rest meanwhile
    ],
)  # fmt: skip
def test_light(code: str, allowed: set[str]) -> None:
    """What is light stays light: of all libraries only those are loaded that it needs."""
    assert libraries_after(code) <= allowed


HTTP = {"httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi"}
#: What a command that reads may load in a pipe, besides click.
LISTING = {*CHECKING, *HTTP, "filelock"}
#: What one that reads files of this machine may load.
FILES = {*CHECKING, "filelock"}
HEAVY = {"pandas", "numpy", "pyarrow", "matplotlib", "rich", "pygments", "IPython", "papermill", "nbformat"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        *[((name,), LISTING) for name in ("instances", "inventory", "locations", "plans", "images", "sshkeys")],
        (("snapshots", "-o", "json"), LISTING),
        (("inventory", "-o", "csv", "--sort", "-price"), LISTING),
        *[(("inventory", "-o", name), LISTING) for name in EXPORT_FORMATS],
        (("facts",), LISTING),
        (("tag", "web-01", "project=shop"), LISTING),
        (("facts", "check"), LISTING),
        (("profile",), LISTING),
        (("runbooks",), FILES),
        (("runbooks", "inventory"), FILES),
        (("runs",), FILES),
        (("verify",), FILES),
        (("journal",), FILES),
        (("pending",), FILES),
    ],
)  # fmt: skip
def test_reading_commands_are_light(arguments: tuple[str, ...], allowed: set[str], account_env: Any) -> None:
    """A command that reads prints without pandas, numpy, pyarrow and matplotlib, and in a pipe without rich."""
    code = called(*arguments).partition("sys.argv")[2]
    assert libraries_after(f"import os, sys; sys.argv{code}") <= allowed


@pytest.mark.parametrize(
    "arguments", [("accounts",), ("doctor",), ("show", "last"), ("runs", "--since", "7d")]
)
def test_no_heavy_library(arguments: tuple[str, ...]) -> None:
    """No command that reads loads a library of tables, charts or notebooks; the keyring brings others of its own."""
    assert not libraries_after(called(*arguments)) & HEAVY


def test_a_batch_is_light(tmp_path: Path) -> None:
    """`lcnb batch`, whose process lives as long as its rows, loads no pandas: for a new batch and for one that is resumed."""
    book, rows, runs = tmp_path / "short.ipynb", tmp_path / "rows.csv", tmp_path / "runs"
    cell: Any = nbformat.v4.new_code_cell("n: int = 0", metadata={"tags": ["parameters"]})  # type: ignore[no-untyped-call]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), book)  # type: ignore[no-untyped-call]
    rows.write_text("n\n1\n")
    place = ("--engine", "kernel", "--sandbox", "--runs-dir", str(runs))
    heavy = HEAVY - {"IPython", "pygments"}  # jupyter_client imports them to look for kernels
    assert libraries_after(called("batch", str(book), "--over", str(rows), *place)) & heavy == set()
    (batch,) = runs.glob("batch-*")
    assert (batch / "results.csv").read_text().splitlines()[1].startswith("1,1,done,0,")
    assert libraries_after(called("batch", "--resume", batch.name, *place)) & heavy == set()


@pytest.mark.parametrize(
    "code",
    [called("--help"), completing(_LCNB_COMPLETE="bash_complete", COMP_WORDS="lcnb pl", COMP_CWORD="1")],
)
def test_help_loads_only_commands(code: str) -> None:
    """Help and completion load the commands, and nothing of what they do."""
    own = {name for name in modules_after(code) if name.startswith("lcnb.")}
    assert not own & {"lcnb.cli.doctor", "lcnb.cli.magic"}
    other = {name for name in own if not name.startswith("lcnb.cli")}
    runbooks = {"runbooks", "runbooks.ends", "runbooks.schedule", "runbooks.schedule.systems"}
    assert other <= {f"lcnb.{name}" for name in {"__main__", "signals", "streams", *runbooks}}


def test_asking_for_a_warm_run_loads_little() -> None:
    """`lcnb run` where a process waits for it loads only what asks: its start would be most of what a run takes."""
    found = (
        modules_after("import lcnb.__main__, lcnb.streams, lcnb.runbooks.engine.warm_socket")
        - modules_before()
    )
    connecting = {
        "__main__",
        "folder_names",
        "runbooks",
        "runbooks.engine",
        "runbooks.engine.warm_socket",
        "streams",
    }
    assert {name for name in found if name.startswith("lcnb.")} == {f"lcnb.{name}" for name in connecting}
    assert not found & {"json", "pathlib", "platformdirs", "signal", "socket", "threading"}
    found = modules_after("import lcnb.__main__, lcnb.streams, lcnb.runbooks.engine.warm") - modules_before()
    own = {name for name in found if name.startswith("lcnb.")}
    asking = {
        "folder_names",
        "runbooks",
        "runbooks.engine",
        "runbooks.engine.framing",
        "runbooks.engine.warm",
        "runbooks.engine.warm_socket",
        "signals",
        "streams",
        "__main__",
    }
    assert own == {f"lcnb.{name}" for name in asking}
    slow = {
        "dataclasses",
        "hashlib",
        "pathlib",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "traceback",
        "typing",
    }
    assert not found & slow


@pytest.mark.parametrize(
    "steps",
    [
        (
            "import lcnb.runbooks.engine.papermill_engine",
            "from lcnb.runbooks.publish.cells import html_exporter; html_exporter()",
        ),
        ("from lcnb.runbooks.publish.cells import html_exporter; html_exporter()",),
        ("from lcnb.runbooks.engine.forkserver import preload_modules; preload_modules()",),
        ("from lcnb.widgets.admin_page import import_server; import_server()",),
    ],
)
def test_f_grammar_of_no_use(steps: tuple[str, ...]) -> None:
    """What runs a notebook or serves the page does not work out a grammar that JupyterLab's packages bring and that neither needs."""
    pytest.importorskip("lark")
    check = "import sys; assert 'rfc3987_syntax' not in sys.modules"
    assert "jsonschema" in modules_after("\n".join(f"{step}\n{check}" for step in steps))


def test_heavy() -> None:
    """What needs pandas loads it: so the test above would see it."""
    assert "pandas" in libraries_after("import lcnb.frames.arrow")


# --- the public names -----------------------------------------------------------------------------------


def test_all() -> None:
    """The public names are a sorted list without doubles, and `dir(lcnb)` shows them."""
    assert lcnb.__all__ == sorted(set(lcnb.__all__))
    assert set(lcnb.__all__) <= set(dir(lcnb))


def test_names_for_type_checkers() -> None:
    """A type checker sees each public name, from the module that it is loaded from."""
    (block,) = [
        node
        for node in ast.walk(sources()["__init__"])
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"lcnb.{home}.{name}" for name, home in lcnb._HOME.items()}


@pytest.mark.parametrize("name", lcnb.__all__)
def test_public_name(name: str) -> None:
    """Each public name is there, is called as its object is, and has a docstring of its own."""
    value = getattr(lcnb, name)
    assert value.__name__ == name
    assert value.__doc__


def test_unknown_name() -> None:
    """Another name is an AttributeError that says it."""
    with pytest.raises(AttributeError, match="module 'lcnb' has no attribute 'conect'"):
        lcnb.conect  # noqa: B018 - looking it up is what is tested


def members() -> Iterator[Any]:
    for name in lcnb.__all__:
        value = getattr(lcnb, name)
        if inspect.isclass(value):
            for each, member in inspect.getmembers(value):
                public = not each.startswith("_") and (
                    inspect.isroutine(member) or isinstance(member, property)
                )
                if public and getattr(getattr(member, "fget", member), "__module__", "").startswith("lcnb"):
                    yield pytest.param(member, id=f"{name}.{each}")


@pytest.mark.parametrize("member", list(members()))
def test_public_member(member: Any) -> None:
    """Each public method and property of a public class has a docstring of its own."""
    assert member.__doc__


@pytest.mark.parametrize("name", [each for each in lcnb.__all__ if inspect.isroutine(getattr(lcnb, each))])
def test_signature(name: str) -> None:
    """Each public function says the types of its arguments and of what it gives."""
    signature = inspect.signature(getattr(lcnb, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


def test_start() -> None:
    """`lcnb --version` loads next to nothing: neither the commands nor typing, which the rest would need."""
    program = called("--version").replace(
        "import os, sys;", "import sys; before = set(sys.modules); import os;"
    )
    program += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600
    )
    version, new = done.stdout.splitlines()
    assert version == f"lcnb, version {lcnb.__version__}"
    assert set(new.split()) <= {"lcnb", "lcnb.__main__", "lcnb.streams", "__future__", "select"}
