"""Which level a command is about, and which others a change of it concerns."""

from datetime import datetime
from typing import Annotated

import typer

from config.connections import project_connections
from config.connections.checks import check_chain
from config.connections.draft import Draft, broken, heirs_of
from config.connections.paths import Level
from config.errors import InvalidConnection
from config.store import ParameterStore, join_path
from workers.cli.errors import CommandError, ExitCode
from workers.cli.options import identifier

AccountOption = Annotated[
    str | None,
    typer.Option("--account", help="An account instead: the defaults of its projects.", callback=identifier),
]


def one_level(project: str | None, account: str | None) -> Level:
    """The level that a command line names.

    Raises:
        CommandError: it names none, or two.
    """
    if project is not None and account is None:
        return Level.project(project)
    if account is not None and project is None:
        return Level.account(account)
    raise CommandError("say whose it is: --project P, or --account A for an account's defaults", code=ExitCode.USAGE)


def open_draft(store: ParameterStore, level: Level) -> Draft:
    """A draft of a level and of all that a change of it concerns: for an account, the projects that inherit from it."""
    draft = Draft(store, [level])
    if level.kind == "account":
        draft.include_heirs(level.name)
    return draft


def check_heirs(store: ParameterStore, draft: Draft, level: Level, *, concerning: str, at: datetime) -> None:
    """See that a change of an account's connection breaks none of its projects.

    Args:
        store: how it is.
        draft: how it is to be.
        level: what changes; of a project nothing inherits.
        concerning: name of the connection that changes.
        at: when it is saved.

    Raises:
        InvalidConnection: a project that could be resolved before could not any more, or its chain would not fit
            together; says which and why.
    """
    if level.kind == "project":
        return
    for heir in heirs_of(draft.store, level.name):
        problem = broken(draft.store, heir)
        if problem is not None and problem != broken(store, heir):
            raise InvalidConnection(f"this would break {heir}, which inherits from {level}: {problem}")
        if problem is None:
            check_chain(project_connections(draft.store, heir.name), subject=str(heir), at=at, concerning=concerning)


def is_new(store: ParameterStore, level: Level) -> bool:
    """Whether nothing is set at a level yet, so that a misspelt name does not pass for one."""
    has_profile = store.get(join_path(level.path, "profile")) is not None
    return not has_profile and next(iter(store.list(join_path(level.path, "connections"), secure=False)), None) is None
