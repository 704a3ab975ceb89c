"""How the source of lcnb is made, in numbers: `python -m benchmarks.code [FOLDER]`, FOLDER with another checkout."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import cc_visit

LONG_MODULE_LINES = 600
COMPLEX_FUNCTION = 10
#: Words that the project uses sparingly; docs/glossary.md has what to write instead.
WORDS = {"told": r"\b(un)?(told|tell|tells|telling)\b", "stands": r"\bstands?\b", "beside": r"\bbeside\b"}
SKIPPED_FOLDERS = {"__pycache__", ".ipynb_checkpoints"}


def module_name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def source_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if not SKIPPED_FOLDERS & set(path.parts))


def imported_modules(tree: ast.AST, modules: set[str]) -> set[str]:
    """The modules that a source imports at any place: in functions and under TYPE_CHECKING as well."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found & modules


def cycles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules of which each imports each other, by way of others or itself (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            group: list[str] = []
            while not group or group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(imports):
        if module not in order:
            visit(module)
    return sorted(found, key=len, reverse=True)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_one_word(name: str) -> bool:
    return "_" not in name.strip("_") and not name.startswith("__")


def public_definitions(body: list[ast.stmt], name: str) -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods, at the top of a module or of a public class."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield f"{name}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{name}.{node.name}")


def is_overload(node: ast.AST) -> bool:
    return any("overload" in ast.unparse(each) for each in getattr(node, "decorator_list", ()))


def complex_functions(source: str) -> int:
    """Functions and methods above a cyclomatic complexity of 10, as radon counts it."""
    blocks = cc_visit(source)
    methods = [method for block in blocks for method in getattr(block, "methods", ())]
    single = {
        (block.lineno, block.name): block.complexity
        for block in [*blocks, *methods]
        if not hasattr(block, "methods")
    }
    return sum(complexity > COMPLEX_FUNCTION for complexity in single.values())


def measure(root: Path) -> dict[str, object]:
    package = root / "lcnb"
    sources = {module_name(package, path): path.read_text(encoding="utf-8") for path in source_files(package)}
    trees = {module: ast.parse(source) for module, source in sources.items()}
    names = set(trees)
    graph = {module: imported_modules(tree, names) - {module, "lcnb"} for module, tree in trees.items()}
    graph["lcnb"] = set()  # the public names load on first use
    packages = {module for module in names if any(other.startswith(f"{module}.") for other in names)}
    groups = cycles({module: others - packages for module, others in graph.items()})
    lines = sorted(len(source.splitlines()) for source in sources.values())
    defined = [
        node.name for tree in trees.values() for node in functions(tree) if not node.name.startswith("__")
    ]
    public = [
        (name, node)
        for module, tree in trees.items()
        for name, node in public_definitions(tree.body, module)
        if not is_overload(node)
    ]
    documented = [ast.get_docstring(node) for _, node in public]  # type: ignore[arg-type]
    classes = [
        node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    texts = [*sources.values(), *(path.read_text(encoding="utf-8") for path in readable(root))]
    return {
        "modules": len(lines),
        "import cycles (modules in each)": [len(group) for group in groups],
        f"modules over {LONG_MODULE_LINES} lines": sum(each > LONG_MODULE_LINES for each in lines),
        "lines of a module: median": int(statistics.median(lines)),
        "lines of a module: maximum": lines[-1],
        f"functions with complexity over {COMPLEX_FUNCTION}": sum(map(complex_functions, sources.values())),
        "functions": len(defined),
        "one-word function names": f"{100 * sum(map(is_one_word, defined)) / len(defined):.0f} %",
        "class names used twice": len({name for name in classes if classes.count(name) > 1}),
        "public docstrings": f"{100 * sum(map(bool, documented)) / len(documented):.0f} %",
        **{
            f"the word {word!r}": sum(len(re.findall(pattern, text, re.IGNORECASE)) for text in texts)
            for word, pattern in WORDS.items()
        },
    }


def readable(root: Path) -> list[Path]:
    """The pages besides the source: README, docs/, notebooks and scripts."""
    found = [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *root.glob("docs/**/*.md"),
        *root.glob("lcnb/**/*.js"),
    ]
    return [path for path in [*found, *root.glob("notebooks/**/*.ipynb")] if path.is_file()]


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    for name, value in measure(root).items():
        print(f"{name:45}{value}")


if __name__ == "__main__":
    main()
