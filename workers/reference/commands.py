"""Every command with its arguments and options, from the tree that parses them: `docs/reference/cli.md`.

`typer utils docs` prints such a page, too, but with the markup of the examples as it stands, quotes as HTML entities,
and without the short forms of options; libraries for click do not know the classes that typer brings along.
"""

import re
from collections.abc import Iterator
from typing import Any

import typer.main
from rich.text import Text

from workers.cli.root import app
from workers.reference.markdown import GENERATED, anchor, code, table

_HEAD = f"""\
# Every command and option

{GENERATED}

What `--help` prints, on one page. [The `byom` command](../cli.md) says what they are good for, what they print as JSON,
and what their exit codes mean. An option without a default here has none, or takes that of the
[setting](../settings.md) that it stands in place of. Settings have variables (`BYOM_…`); options have none.

"""
#: What typer calls the type of a value → what a reader is shown.
_VALUES = {
    "<str>": "TEXT", "<list[str]>": "TEXT", "<int>": "N", "<int range>": "N", "<list[int]>": "N", "<float>": "N",
    "<float range>": "N", "<path>": "PATH", "<file>": "FILE", "<dir>": "DIR", "<list[path]>": "PATH",
}  # fmt: skip
#: Options that every command has.
_OF_ALL = {"help"}


def render() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    found = list(walk(root))
    names = (f"* [`{name}`](#{anchor(name)}): {_line(command)}\n" for name, command in found)
    top = f"## byom\n\n{_line(root)}\n\n{_parameters(root)}\n"
    return _HEAD + top + "".join(names) + "".join(_section(name, command) for name, command in found)


def walk(group: Any, path: str = "byom") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by all of its words, as the tree has them."""
    for word, command in group.commands.items():
        name = f"{path} {word}"
        if getattr(command, "invoke_without_command", True):
            yield name, command
        if hasattr(command, "commands"):
            yield from walk(command, name)


def _section(name: str, command: Any) -> str:
    examples, notes = _epilog(command)
    parts = [f"\n## {name}\n", f"{_plain(command.help)}\n", f"```console\n{examples}\n```\n"]
    return "\n".join([*parts, *([f"{notes}\n"] if notes else []), _parameters(command)])


def _parameters(command: Any) -> str:
    """The table of arguments and options."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    rows = [
        _row(param, context)
        for param in command.params
        if param.name not in _OF_ALL and not getattr(param, "hidden", 0)
    ]
    return table(("argument or option", "what for"), rows)


def _row(param: Any, context: Any) -> tuple[str, str]:
    names, says = param.get_help_record(context)
    if param.param_type_name == "argument":
        names = param.metavar or param.name.upper()
    for value, shown in _VALUES.items():
        names = names.replace(value, shown)
    said, _, bounds = says.partition("  [")
    told = _bounds(bounds.removesuffix("]"))
    return code(re.sub(r"<(.*)>", r"\1", names)), f"{_plain(said)} ({told})" if told else _plain(said)


def _bounds(told: str) -> str:
    """What typer says of a value in brackets, for a reader."""
    told = told.replace("; ", ", ").replace("default: ", "default ")
    return re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", told).replace("x>=", "at least ").replace("x<=", "at most ")


def _line(command: Any) -> str:
    return _plain(command.help).partition("\n")[0]


def _epilog(command: Any) -> tuple[str, str]:
    """Examples as lines for a console, and what is said below them."""
    text = _plain(command.epilog)
    _, _, below = text.partition("Examples\n")
    examples, _, notes = below.partition("\n\n")
    # What follows a backslash belongs to the line before.
    lines = re.sub(r"(?m)(?<!\\\n)^ *(?=\S)", "$ ", examples)
    return lines, notes.strip()


def _plain(text: str | None) -> str:
    """Without rich's markup."""
    return Text.from_markup(text or "").plain.strip()
