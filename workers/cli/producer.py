"""`byom producer`: who may send signed jobs, of which projects, and with which keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer

from config.connections import list_projects
from config.errors import InvalidProducer
from config.producers import (
    EVERY,
    SigningProducer,
    list_producers,
    producer_path,
    read_keys,
    read_producer,
    remove_producer,
    rotate_key,
    save_producer,
)
from config.settings import Settings, load_settings
from config.store import ParameterStore, open_store
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import identifier
from workers.cli.options import since as parse_since
from workers.configuration.admin import Admin

app = typer.Typer(
    help="Let producers sign their jobs, each for its own projects; workers ask for that with BYOM_SIGNED_JOBS.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the producer.", callback=identifier)]


@app.command(
    epilog=examples(
        "byom producer add crm --projects acme,globex",
        "byom producer add archive --all-projects",
        notes="Its key: byom producer key NAME",
    )
)
def add(
    name: Name,
    projects: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="The projects that it may send jobs of.", show_default=False),
    ] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Jobs of any project.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a producer send jobs of some projects; the same name again changes the projects, and keeps its key."""
    if (projects is None) is not all_projects:
        raise CommandError("say which: --projects A,B or --all-projects, one of the two", code=ExitCode.USAGE)
    names = (EVERY,) if projects is None else tuple(_project(part) for part in projects.split(","))
    settings = load_settings()
    with _changing(settings, "save", name, {"projects": sorted(names)}) as store:
        producer = save_producer(store, name, projects=names, now=datetime.now(UTC))
    if as_json:
        print_json(_as_json(producer))
    else:
        out.print(f"Saved producer '{name}', for {_projects(producer)}.")
        out.print(f"Its key, for the producer: byom producer key {name}")
    if unknown := sorted(set(names) - {EVERY} - set(list_projects(store))):
        err.print(f"[yellow]Not configured yet:[/] {', '.join(unknown)}.")
    if settings.signed_jobs == "off":
        err.print("Workers ask nobody for a signature yet: set BYOM_SIGNED_JOBS=optional, then required.")


@app.command("list", epilog=examples("byom producer list", "byom producer list --json"))
def list_all(as_json: JsonFlag = False) -> None:
    """Show the producers, the pool itself among them, without their keys."""
    found = list_producers(configured_store())
    if as_json:
        print_json([_as_json(producer) for producer in found])
    elif found:
        out.print(table(("PRODUCER", "PROJECTS", "KEYS"), [_row(producer) for producer in found]))
    else:
        err.print("No producers yet; add one with: byom producer add --help")


@app.command(
    epilog=examples(
        "byom producer key crm",
        notes="Prints a secret: mind who sees your screen. Besides it, `byom webhook secret` alone does.",
    )
)
def key(name: Name, as_json: JsonFlag = False) -> None:
    """Print the key with which a producer signs: its BYOM_PRODUCER_KEY."""
    store = configured_store()
    producer = read_producer(store, name) or _missing(name)
    found = read_keys(store, producer, now=datetime.now(UTC))
    if not found:
        raise CommandError(
            f"the key of producer '{name}' is not in the store; make one with: byom producer rotate {name}",
            code=ExitCode.USAGE,
        )
    value = found[0].get_secret_value()
    if as_json:
        print_json({"producer": name, "version": max(producer.keys), "key": value})
    else:
        typer.echo(value)


@app.command(
    epilog=examples(
        "byom producer rotate crm",
        "byom producer rotate crm --overlap 0m",
        "byom producer rotate pool --overlap 30d",
    )
)
def rotate(
    name: Name,
    overlap: Annotated[
        str,
        typer.Option(help="How long the old key counts too: 90m, 24h, 7d. Jobs that wait longer are refused then."),
    ] = "7d",
    as_json: JsonFlag = False,
) -> None:
    """Make a new key. Until the overlap ends both count, so that the producer can change over."""
    settings = load_settings()
    now = datetime.now(UTC)
    span = now - parse_since(overlap, now=now, option="--overlap")
    with _changing(settings, "rotate", name, {"overlap_seconds": span.total_seconds()}) as store:
        producer = rotate_key(store, read_producer(store, name) or _missing(name), now=now, overlap=span)
    if as_json:
        print_json(_as_json(producer))
        return
    until = [version.until for version in producer.keys.values() if version.until]
    old = f"the one before it counts until {until[0]:%Y-%m-%d %H:%M} UTC" if until else "the old one counts no more"
    out.print(f"Producer '{name}' has key version {max(producer.keys)}; {old}.")
    out.print(f"The new one, for the producer: byom producer key {name}")


@app.command(epilog=examples("byom producer remove crm --yes"))
def remove(name: Name, yes: YesFlag = False, as_json: JsonFlag = False) -> None:
    """Remove a producer and its keys. Its jobs are refused from now on, those that wait already among them."""
    settings = load_settings()
    producer = read_producer(open_store(settings.store_url, key=settings.store_key), name) or _missing(name)
    ask(f"Remove producer '{name}' and refuse its jobs, also those that wait?", yes=yes, as_json=as_json)
    with _changing(settings, "remove", name) as store:
        remove_producer(store, producer)
    if as_json:
        print_json({"producer": name, "removed": True})
    else:
        out.print(f"Removed producer '{name}'.")


@contextmanager
def _changing(
    settings: Settings, action: str, name: str, changes: dict[str, Any] | None = None
) -> Iterator[ParameterStore]:
    """The store, for a change that is recorded and of which workers are told."""
    with Admin.opened(settings) as admin:
        try:
            with admin.record(f"producer.{action}", producer_path(name), "keys", changes):
                yield admin.store
        except InvalidProducer as error:
            raise CommandError(str(error), code=ExitCode.USAGE) from None
        warn_if_not_announced(admin, settings)


def _project(text: str) -> str:
    name = identifier(text.strip())
    assert name is not None  # noqa: S101 - it is None for None alone
    return name


def _projects(producer: SigningProducer) -> str:
    return "all projects" if EVERY in producer.projects else ", ".join(producer.projects)


def _as_json(producer: SigningProducer) -> dict[str, Any]:
    return {
        "producer": producer.name,
        "projects": list(producer.projects),
        "keys": {
            str(number): version.model_dump(mode="json", exclude_none=True)
            for number, version in sorted(producer.keys.items())
        },
    }


def _row(producer: SigningProducer) -> list[str]:
    keys = [
        f"{number} (until {version.until:%Y-%m-%d %H:%M})" if version.until else str(number)
        for number, version in sorted(producer.keys.items(), reverse=True)
    ]
    return [producer.name, _projects(producer), ", ".join(keys)]


def _missing(name: str) -> NoReturn:
    raise CommandError(f"there is no producer '{name}'; see: byom producer list", code=ExitCode.USAGE)
