"""Wrong usage of the command line: the messages of click, with the cure added.

Only imported when a command line could not be parsed.
"""

from __future__ import annotations

import sys

import click

from lcnb.suggestions import nearest_name

#: Characters of unexpected words that a message shows: an unquoted * is every file of the folder.
MAX_SHOWN_CHARACTERS = 60
#: What lists the values of an argument, by the name that the usage line gives it.
_ARGUMENT_CURES = {
    "MACHINE": "`lcnb inventory` lists the machines.",
    "RUN": "`lcnb runs` lists the runs; `last` is the newest one.",
    "QUERY": 'For example: `lcnb sql "select count(*) from inventory"`.',
}
#: Options of other tools that confirm a change.
_WORDS_FOR_YES = ("force", "f", "y", "confirm")
#: How click begins its message about words that a command does not take; it has no class of its own.
_EXTRA_WORDS = "Got unexpected extra argument"


def show_usage_error(error: click.ClickException) -> None:
    """Print an error of click to stderr: the usage of the command, what is wrong, and the cure."""
    from lcnb.display.terminal import fit_message

    context = getattr(error, "ctx", None)
    message = error.format_message()
    # The help of a group says which commands it has.
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)
        return
    if isinstance(error, click.UsageError) and context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
        message = _explain(error, context)
    click.echo(fit_message(f"Error: {message}", sys.stderr), err=True)


def _explain(error: click.UsageError, context: click.Context) -> str:
    """Return the message of an error, with the cure where the command and its options give one."""
    if isinstance(error, click.NoSuchOption):
        return _explain_option(error, context)
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option):
        return _explain_missing(error.param, context)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return _explain_missing_argument(error.param, context)
    if error.message.startswith(_EXTRA_WORDS):
        return f"unexpected: {_shorten_words(error.message)}. {_extra_words_cure(error.message, context)}"
    return error.format_message()


def _options(context: click.Context) -> dict[str, click.Option]:
    """Name → option of the command, such as `--cron`, `-p` and `--parameter`."""
    options = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    return {name: each for each in options for name in (*each.opts, *each.secondary_opts)}


def _explain_option(error: click.NoSuchOption, context: click.Context) -> str:
    options, option = _options(context), _typed_option(error.option_name)
    if option == "--sandbox":
        return f"no option {option!r}. {_sandbox_cure(context)}"
    name = option.lstrip("-")
    known = {each.lstrip("-"): each for each in options if each.startswith("--")}
    nearest = "yes" if name in _WORDS_FOR_YES and "yes" in known else nearest_name(name, known)
    near = f" (did you mean '--{nearest}'?)" if nearest else ""
    cure = (
        f" A parameter of the runbook is written `-p {name.replace('-', '_')}=VALUE`."
        if "-p" in options
        else ""
    )
    return f"no option {option!r}{near}.{cure}"


def _sandbox_cure(context: click.Context) -> str:
    """Say why a command has no sandbox, and what to do instead."""
    command = context.command_path
    if isinstance(context.command, click.Group):
        names = context.command.list_commands(context)
        found = (context.command.get_command(context, name) for name in names)
        for each in filter(None, found):
            if any(option.name == "sandbox" for option in each.params):
                return f"Write it after the command of the group: `{command} {each.name} ... --sandbox`."
    return (
        f"`{command}` reads this machine and no account. The sandbox of --sandbox ends with its command, and its "
        "journal with it; `lcnb sandbox` serves one for several commands. Leave out --sandbox."
    )


def _typed_option(name: str) -> str:
    """The option as it was typed: of `-location`, click only names `-l`."""
    if name.startswith("--"):
        return name
    return next((each for each in sys.argv[1:] if each.startswith(name)), name).partition("=")[0]


def _explain_missing(option: click.Option, context: click.Context) -> str:
    """Name all required options that are missing, with their help: click processes those that are given first."""
    missing = [
        each
        for each in context.command.get_params(context)
        if isinstance(each, click.Option) and each.required and each.name not in context.params
    ]
    lines = [f"  {each.opts[-1]}: {(each.help or '').rstrip('.')}" for each in missing or [option]]
    return "\n".join([f"missing option{'s' if len(lines) > 1 else ''}:", *lines])


def _explain_missing_argument(argument: click.Parameter, context: click.Context) -> str:
    """Name an argument that is missing as the usage line does, and the command that lists its values."""
    name = argument.make_metavar(context).strip("[].")
    runbook = name == "NAME" and "-p" in _options(context)
    cure = "`lcnb runbooks` lists the runbooks." if runbook else _ARGUMENT_CURES.get(name, "")
    return f"missing argument {name}. {cure}".rstrip()


def _shorten_words(message: str) -> str:
    """The words that click found unexpected; of many, the first ones."""
    words = message.partition("(")[2].removesuffix(")")
    return words if len(words) <= MAX_SHOWN_CHARACTERS else f"{words[:MAX_SHOWN_CHARACTERS].rstrip()} ..."


def _extra_words_cure(message: str, context: click.Context) -> str:
    options = _options(context)
    if "--cron" in options:
        return 'Quote the whole expression: `--cron "30 6 * * 1-5"`.'
    if "-p" in options and "=" in message:
        return "Write -p before each parameter, and no spaces around =: `-p location=MIA1 -p state=running`."
    if not any(isinstance(each, click.Argument) for each in context.command.params):
        columns = " Separate columns by commas: --columns label,state." if "--columns" in options else ""
        return f"`{context.command_path}` takes options only.{columns}"
    return "Quote a value that has spaces."
