"""No test is judged by how fast the machine is: what only ends a hang is generous."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Seconds that no machine needs for what a test waits for.
GENEROUS_S = 300
#: What waits for another process, thread or socket, and takes a limit.
WAITS = {"run", "communicate", "check_output", "wait", "wait_procs", "join", "acquire", "urlopen", "Barrier"}
#: Short waits that decide nothing: a pause of a loop, or what a fixture does before it kills.
PAUSES = {
    "provider.over.wait(1)",
    "process.wait(0.1)",
    "process.wait(timeout=15)",
    "reader.join(5)",
}


def short_waits(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each wait in a test that a slow machine may not keep to."""
    for node in ast.walk(ast.parse(source)):
        limits: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            limits = [each.value for each in node.keywords if each.arg == "timeout"] if name in WAITS else []
            if name in {"wait", "join"} and isinstance(node.func, ast.Attribute):
                limits += node.args
        elif isinstance(node, ast.BinOp) and ast.unparse(node.left) == "time.monotonic()":
            limits = [node.right]
        for limit in limits:
            number = limit.value if isinstance(limit, ast.Constant) else None
            if isinstance(number, int | float) and number < GENEROUS_S and ast.unparse(node) not in PAUSES:
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(command, timeout=60)",
        "out, err = process.communicate(timeout=20)",
        "assert process.wait(30) == 0",
        "thread.join(10)",
        "begun.wait(timeout=5)",
        "barrier = threading.Barrier(2, timeout=10)",
        "deadline = time.monotonic() + 60",
        "urlopen(address, timeout=10)",
    ],
)
def test_f_short_wait_is_found(source: str) -> None:
    """A wait that a slow machine does not keep to is found, and not one that is generous or has no end."""
    assert [line for line, _ in short_waits(source)] == [1]
    generous = source
    for number in ("60", "20", "30", "10", "5"):
        generous = generous.replace(f"={number})", "=600)").replace(f"({number})", "(600)")
        generous = generous.replace(f"+ {number}", "+ 600")
    assert list(short_waits(generous)) == []
    assert list(short_waits("process.wait(); ' '.join(words); thread.join(); clock() + 1")) == []


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.name)
def test_f_no_short_wait(path: Path) -> None:
    """What ends a test that hangs does so after minutes: a machine that is busy is no failure."""
    found = list(short_waits(path.read_text(encoding="utf-8")))
    assert found == [], f"give each of them {GENEROUS_S} s or more (600 is usual), or wait for an event"
