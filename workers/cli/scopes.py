"""Whose configuration a command is about, and the connections by which a credential can be tried."""

from typing import Annotated

import typer

from config.connections import EffectiveConnection, account_path, effective_chain, list_projects, project_path
from config.connections.chain import validate
from config.connections.documents import connection_documents
from config.connections.profiles import read_project
from config.errors import ConfigError, NoConnection, StoreError, UnknownProject
from config.store import ParameterStore
from workers.cli.errors import CommandError, ExitCode
from workers.cli.options import identifier

ProjectScope = Annotated[
    str | None, typer.Option("--project", "-p", help="Of this project.", callback=identifier, show_default=False)
]
AccountScope = Annotated[
    str | None, typer.Option("--account", help="Of this account.", callback=identifier, show_default=False)
]


def scope_path(project: str | None, account: str | None) -> str:
    """The path of the project or the account that was named.

    Raises:
        CommandError: none was named, or both.
    """
    if (project is None) == (account is None):
        raise CommandError("say whose it is: --project P or --account A, one of the two", code=ExitCode.USAGE)
    return project_path(project) if project else account_path(str(account))


def scope_words(scope: str) -> str:
    """A scope for people, such as `project 'acme'`."""
    _, _, kind, name = scope.split("/")
    return f"{kind.removesuffix('s')} '{name}'"


def links_naming(store: ParameterStore, scope: str, name: str) -> list[EffectiveConnection]:
    """The connections of a project or account that name a credential of the same level, ready to be called.

    Raises:
        ConfigError: the project's chain does not fit, or the store cannot be read.
    """
    path = f"{scope}/credentials/{name}"
    _, _, kind, whose = scope.split("/")
    if kind == "accounts":
        return _account_links(store, whose, name)
    try:
        chain = effective_chain(store, whose)
    except (UnknownProject, NoConnection):
        return []
    return [link for link in chain if link.credential_path == path]


def _account_links(store: ParameterStore, account: str, name: str) -> list[EffectiveConnection]:
    """The account's own connections; those that only a project completes cannot be called alone."""
    scope = account_path(account)
    projects = [
        project
        for project in list_projects(store)
        if (profile := read_project(store, project)) is not None and profile.account == account
    ]
    links: list[EffectiveConnection] = []
    for connection, document in connection_documents(store, scope).items():
        if document.get("credential") != name:
            continue
        try:
            complete = validate({**document, "name": connection}, f"connection '{connection}' of {scope}")
        except StoreError:
            raise
        except ConfigError:
            continue
        links.append(
            EffectiveConnection(
                connection=complete,
                # The call is tagged with a project; an account may not have one yet.
                project=min(projects, default=account),
                account=account,
                credential_scope=f"{scope}/credentials",
                origins={},
            )
        )
    return links
