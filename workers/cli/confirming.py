"""Asking before what cannot be undone."""

from typing import Annotated

import typer

from workers.cli.errors import CommandError, ExitCode

YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def must_ask(*, yes: bool, as_json: bool) -> bool:
    """Whether somebody has to be asked first.

    Raises:
        CommandError: nobody can be: a program reads what is printed.
    """
    if not yes and as_json:
        raise CommandError("this needs --yes with --json", code=ExitCode.USAGE)
    return not yes


def ask(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask whether to go on, unless that was said.

    Raises:
        CommandError: nobody can be asked.
        typer.Abort: the answer was no.
    """
    if must_ask(yes=yes, as_json=as_json):
        typer.confirm(question, abort=True, err=True)
