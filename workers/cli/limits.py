"""`byom limits`: what each connection may take from its vendor, what it takes, and what stands in the way."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from config.connections import EffectiveConnection, effective_chain, list_projects
from config.connections.documents import connection_documents
from config.connections.paths import Level
from config.connections.review import level_connections
from config.errors import ConfigError, StoreError
from config.settings import load_settings
from config.store import ParameterStore, open_store
from workers.admission import MeterState
from workers.admission.budget import usd
from workers.admission.control import Meters
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import ProjectOption, identifier
from workers.cli.scopes import AccountScope, ProjectScope, scope_path, scope_words
from workers.configuration.admin import Admin
from workers.configuration.effect import reset_limits
from workers.redis.impatient import connect

app = typer.Typer(help="Show, set and reset the limits of connections.", no_args_is_help=True)


ConnectionOption = Annotated[
    str, typer.Option("--connection", "-c", help="Name of the connection.", callback=identifier)
]


@app.command(epilog=examples("byom limits show", "byom limits show --project acme --json"))
def show(project: ProjectOption = None, as_json: JsonFlag = False) -> None:
    """Show what is declared, learned and used of every connection's limits, its breaker and its spend."""
    settings = load_settings()
    store = open_store(settings.store_url, key=settings.store_key)
    projects = [project] if project else list_projects(store)
    links = [link for name in projects for link in effective_chain(store, name)]

    with connect(settings.redis_url) as client:
        rows = list(zip(links, Meters(client).read(links), strict=True))
    if as_json:
        print_json([_document(link, state) for link, state in rows])
        return
    if not rows:
        err.print("No connections yet; add one with: byom connection add --help")
        return
    columns = ("PROJECT", "CONNECTION", "MODEL", "TOKENS/MIN", "LEARNED", "LEFT", "REQUESTS/MIN", "IN FLIGHT")
    right = ("TOKENS/MIN", "LEARNED", "LEFT", "REQUESTS/MIN", "IN FLIGHT")
    cells = [_cells(link, state) for link, state in rows]
    out.print(table((*columns, "STATE", "SPENT TODAY, MONTH (USD)"), cells, right=right))


@app.command(
    "set",
    epilog=examples(
        "byom limits set --project acme --connection primary --tpm 120000 --rpm 600",
        "byom limits set --account corp --connection primary --tpm 400000 --output-tpm 80000",
        "byom limits set -p acme -c primary --max-concurrency 0",
    ),
)
def set_limits(
    connection: ConnectionOption,
    project: ProjectScope = None,
    account: AccountScope = None,
    tpm: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tokens per minute; with --output-tpm: of input.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tokens at once; without it, a minute's worth.")
    ] = None,
    output_tpm: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Output tokens per minute, where they are metered apart.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=0, metavar="N", help="Requests per minute.")] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Calls in flight at once, over all workers.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set limits of a connection; all workers obey them from their next call on. 0 lifts a limit.

    A project that sets limits for its account's credential gets a meter of its own with it.
    """
    settings, scope = load_settings(), scope_path(project, account)
    changes = _changes(tpm=tpm, burst=burst, output_tpm=output_tpm, rpm=rpm, max_concurrency=max_concurrency)
    with Admin.opened(settings) as admin:
        own = connection_documents(admin.store, scope).get(connection)
        if own is None and (project is None or not _sees(admin.store, project, connection)):
            whose = f"--project {project}" if project else f"--account {account}"
            raise CommandError(
                f"{scope_words(scope)} has no connection '{connection}'; see: byom limits show, or add one with: "
                f"byom connection add {whose} --name {connection} …",
                code=ExitCode.USAGE,
            )
        admin.save_connection(scope, {**(own or {}), **changes, "name": connection})
        in_force = admin.announced
        if as_json:
            print_json({"scope": scope, "connection": connection, **changes, "in_force": in_force})
        else:
            out.print(f"Set limits of connection '{connection}' of {scope_words(scope)}: {_words(changes)}.")
            if in_force:
                out.print("All workers obey them from their next call on.")
        warn_if_not_announced(admin, settings)


@app.command(
    epilog=examples(
        "byom limits reset --project acme --connection primary", "byom limits reset --account corp -c shared"
    )
)
def reset(
    connection: ConnectionOption, project: ProjectScope = None, account: AccountScope = None, as_json: JsonFlag = False
) -> None:
    """Forget what was learned of a connection's limits, its breaker and what holds it back; jobs that waited go.

    What is declared, what is spent and what is under way stays. For when a vendor raised limits, or a clock was wrong.
    """
    settings, scope = load_settings(), scope_path(project, account)
    store = open_store(settings.store_url, key=settings.store_key)
    level = Level.project(project) if project else Level.account(str(account))
    found = [link for link in level_connections(store, level) if link.connection.name == connection]
    if not found:
        raise CommandError(
            f"{scope_words(scope)} has no connection '{connection}'; see: byom limits show", code=ExitCode.USAGE
        )
    [link] = found
    with connect(settings.redis_url) as client:
        reset_limits(client, link)
    if as_json:
        print_json({"scope": scope, "connection": connection, "meter": link.key})
    else:
        out.print(f"Reset what was learned of connection '{connection}' of {scope_words(scope)}.")


def _changes(
    *, tpm: int | None, burst: int | None, output_tpm: int | None, rpm: int | None, max_concurrency: int | None
) -> dict[str, Any]:
    """The fields of a connection that a command line sets.

    Raises:
        CommandError: it sets none.
    """
    changes: dict[str, Any] = {}
    if tpm is not None:
        changes |= {"tpm_capacity": tpm, "tpm_refill_per_second": tpm / 60}
    if burst is not None:
        changes["tpm_capacity"] = burst
    if output_tpm is not None:
        changes["output_tpm_capacity"] = output_tpm or None
        changes["output_tpm_refill_per_second"] = output_tpm / 60 if output_tpm else None
    if rpm is not None:
        changes |= {"rpm_capacity": rpm or None, "rpm_refill_per_second": None}
    if max_concurrency is not None:
        changes["max_concurrency"] = max_concurrency or None
    if not changes:
        raise CommandError(
            "say what to set: --tpm, --burst, --output-tpm, --rpm or --max-concurrency", code=ExitCode.USAGE
        )
    return changes


def _sees(store: ParameterStore, project: str, connection: str) -> bool:
    """Whether a project has a connection of this name, of its own or inherited."""
    try:
        chain = effective_chain(store, project)
    except StoreError:
        raise
    except ConfigError:
        return False
    return any(link.connection.name == connection for link in chain)


def _words(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'none' if value is None else f'{value:g}'}" for name, value in changes.items())


def _cells(link: EffectiveConnection, state: MeterState) -> list[str]:
    tokens = state.tokens
    spent = {row.period: row for row in state.spends if row.connection is not None}
    bound = "" if state.max_concurrency is None else f" of {state.max_concurrency}"
    return [
        link.project,
        link.connection.name,
        link.connection.model,
        f"{link.connection.tpm_refill_per_second * 60:,.0f}",
        f"{tokens.learned_per_minute:,.0f}" if tokens else "",
        f"{tokens.level:,.0f}" if tokens else "",
        f"{state.requests.learned_per_minute:,.0f}" if state.requests else "",
        f"{state.in_flight}{bound}",
        _state(state),
        ", ".join(
            f"{usd(row.spent):.2f}" + ("" if row.cap is None else f" of {usd(row.cap).normalize():f}")
            for row in (spent["day"], spent["month"])
        ),
    ]


def _state(state: MeterState) -> str:
    """What stands in the way, for people."""
    why = f" ({state.blocked_code.value})" if state.blocked_code else ""
    if state.blocked_until is not None and state.blocked_by is not None:
        return f"{state.blocked_by.value}{why} until {state.blocked_until:%H:%M:%S} UTC"
    return state.breaker.value if state.breaker != "closed" else "ok"


def _document(link: EffectiveConnection, state: MeterState) -> dict[str, Any]:
    """A meter for programs; money in USD as text."""
    document = {
        "project": link.project,
        "connection": link.connection.name,
        "provider": link.connection.provider.value,
        "model": link.connection.model,
        **asdict(state),
    }
    document["spends"] = [
        {
            "connection": row.connection,
            "period": row.period,
            "spent_usd": format(usd(row.spent), "f"),
            "cap_usd": None if row.cap is None else format(usd(row.cap), "f"),
        }
        for row in state.spends
    ]
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in document.items()}
