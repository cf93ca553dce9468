"""`byom connection list` and `show`: what is in effect, and who said so."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection, list_projects
from config.connections.paths import Level
from config.connections.review import level_connections
from config.store import ParameterStore
from tasks.contract import Role
from workers.cli.chains import describe, shown_fields
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.levels import AccountOption, is_new, one_level
from workers.cli.options import ProjectOption, identifier

LIST_EXAMPLES = examples("byom connection list", "byom connection list --project acme --json")
SHOW_EXAMPLES = examples(
    "byom connection show --project acme",
    "byom connection show --project acme --name primary --json",
    "byom connection show --account corp",
)


def list_connections(
    project: ProjectOption = None,
    account: AccountOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the effective chain of a project: what is tried in which order, and where each value was set."""
    store = configured_store()
    if project or account:
        levels = [one_level(project, account)]
    else:
        levels = [Level.project(name) for name in list_projects(store)]
    links = [_describe(store, level, link) for level in levels for link in _connections(store, level)]
    if as_json:
        print_json(links)
        return
    if not links:
        err.print("No connections yet; add one with: byom connection add --help")
        return
    columns = ("PROJECT", "CONNECTION", "ROLE", "PROVIDER", "MODEL", "ENDPOINT", "CREDENTIAL", "ORIGINS")
    out.print(table(columns, [_row(link) for link in links]))


def show(
    project: ProjectOption = None,
    account: AccountOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Only the connection of this name.", callback=identifier)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every value that is in effect, with where it was set; secrets as name, version and fingerprint."""
    level = one_level(project, account)
    store = configured_store()
    chain = _connections(store, level)
    links = [link for link in chain if name in {None, link.connection.name}]
    if name is not None and not links:
        names = ", ".join(link.connection.name for link in chain) or "none"
        raise CommandError(f"{level} has no connection '{name}'; it has: {names}", code=ExitCode.USAGE)
    described = [_describe(store, level, link) for link in links]
    if as_json:
        print_json(described)
        return
    if not links:
        err.print(f"{level} has no connections; add one with: byom connection add {level.flag} …")
    for link, document in zip(links, described, strict=True):
        _print(link, document)


def _connections(store: ParameterStore, level: Level) -> list[EffectiveConnection]:
    if level.kind == "account" and is_new(store, level):
        raise CommandError(
            f"{level} is not configured; add its defaults with: byom connection add {level.flag} …", code=ExitCode.USAGE
        )
    return level_connections(store, level)


def _describe(store: ParameterStore, level: Level, link: EffectiveConnection) -> dict[str, Any]:
    return describe(store, level, link, catalogue=load_catalogue())


def _print(link: EffectiveConnection, document: dict[str, Any]) -> None:
    connection = link.connection
    out.print(f"[bold]{escape(connection.name)}[/]: {connection.provider.value} {escape(connection.model)}")
    rows = [[name, _value(document[name]), link.origins.get(name, "default")] for name in shown_fields(connection)]
    out.print(table(("FIELD", "VALUE", "SET BY"), rows))
    out.print(f"[dim]meter {escape(document['meter'])} of {escape(document['tenant'])}[/]")
    for warning in document["warnings"]:
        out.print(f"[yellow]Warning:[/] {escape(warning)}")
    out.print()


def _value(value: Any) -> str:
    match value:
        case None | {} if not value:
            return "-"
        case {"fingerprint": _}:
            return _credential(value)
        case dict():
            return ", ".join(f"{key}={text}" for key, text in value.items())
        case bool():
            return "yes" if value else "no"
    return str(value)


def _credential(credential: dict[str, Any] | None) -> str:
    if credential is None:
        return "none"
    if credential["version"] is None:
        return f"{credential['name']} MISSING"
    return f"{credential['name']} v{credential['version']} #{credential['fingerprint']}"


def _row(link: dict[str, Any]) -> list[str]:
    place = link["role"] if link["role"] == Role.PRIMARY else f"{link['role']} {link['order']}"
    return [
        link["project"] or f"account {link['account']}",
        link["name"],
        place,
        link["provider"],
        link["model"],
        link["base_url"] or "",
        _credential(link["credential"]),
        "account" if "account" in link["origins"].values() else "project",
    ]
