"""The pages that `--help` shows: each command says how it is called, whether it asks, and how it ends."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from conftest import Call
from lcnb.cli.help_pages import PAGES
from lcnb.cli.main import cli
from lcnb.runbooks.ends import EXIT_CODES


def _commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command that does something."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


COMMANDS = list(_commands())


def test_every_command_has_a_page() -> None:
    """There is a page for each command, and for nothing else."""
    assert sorted(PAGES) == sorted(" ".join(each) for each in COMMANDS)


@pytest.mark.parametrize("name", PAGES)
def test_example(name: str) -> None:
    """The example of a command calls this command, with options and arguments that it has."""
    words = shlex.split(PAGES[name][0].replace("SLUG", "slug-1"))
    assert words[: len(name.split()) + 1] == ["lcnb", *name.split()]
    command: click.Command = cli
    context = click.Context(cli)
    for each in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, each)
        assert found is not None
        command = found
    try:
        command.make_context(name, words[len(name.split()) + 1 :])
    except click.BadParameter as error:
        assert "does not exist" in error.format_message()  # a file of the reader


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_page(call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the example and only exit codes that lcnb has; one that changes the account says that it asks."""
    monkeypatch.setenv("COLUMNS", "80")
    page = call(*command, "--help").out
    assert "\n  Example:\n    lcnb " in page
    below = page.partition("\n  Exit codes:\n")[2].splitlines()
    codes = [int(line.split()[0]) for line in below if line[4:5].strip()]
    assert codes[0] == 0
    assert codes == sorted(set(codes) & set(EXIT_CODES))
    asks = "shows the changes and asks before it sends them" in page
    assert asks == (
        "--dry-run" in page.partition("Options:")[2].partition("Example:")[0] and "  --yes" in page
    )
