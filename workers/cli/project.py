"""`byom project`: what is set for a project as a whole."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from config.connections import ProjectProfile, has_primary, list_projects, project_connections, read_project
from config.connections.checks import check_chain, profile_warnings
from config.connections.draft import Draft, broken
from config.connections.paths import Level
from config.connections.profiles import write_project
from config.errors import ConfigError, InvalidConnection, StoreError, UnknownProject
from config.settings import load_settings
from config.store import ParameterStore
from tasks.contract.problems import problems
from workers.cli.changes_to_store import remove_level, write_changes
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.forgotten import forgetting, say_forgotten
from workers.cli.levels import is_new
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import OnSpendCapOption, RequiredProject, SpendCapDay, SpendCapMonth, identifier
from workers.cli.saving import print_warnings
from workers.configuration.admin import Admin

app = typer.Typer(help="Set, show and remove what holds for a project as a whole.", no_args_is_help=True)


@app.command(
    "set",
    epilog=examples(
        "byom project set --project acme --account corp --weight 3",
        "byom project set --project acme --spend-cap-day 5 --on-spend-cap fail --max-waiting 10000",
        "byom project set --project acme --unset spend_cap_day_usd",
    ),
)
def set_profile(
    project: RequiredProject,
    account: Annotated[
        str | None, typer.Option(help="The account whose connections are its defaults.", callback=identifier)
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Its share of what it has to share: 3 gets three times the share of 1.")
    ] = None,
    spend_cap_day: SpendCapDay = None,
    spend_cap_month: SpendCapMonth = None,
    on_spend_cap: OnSpendCapOption = None,
    max_waiting: Annotated[
        int | None, typer.Option(min=1, help="Jobs that may wait at once; more are refused when they are enqueued.")
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="FIELD", help="Back to the default; may be repeated.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set what holds for a project as a whole, and create it if it is new. What is not named stays as it is."""
    settings = load_settings()
    with Admin.opened(settings) as admin:
        store = admin.store
        level = Level.project(project)
        given: dict[str, Any] = {
            "account": account,
            "weight": weight,
            "spend_cap_day_usd": spend_cap_day,
            "spend_cap_month_usd": spend_cap_month,
            "on_spend_cap": on_spend_cap,
            "max_waiting": max_waiting,
        }
        stored = read_project(store, project)
        profile = _profile(stored or ProjectProfile(), given, unset or [])
        draft = Draft(store, [level])
        before = broken(draft.store, level)
        write_project(draft.store, project, profile)
        if profile.account:
            draft.include(Level.account(profile.account))
        warnings = _judge(draft.store, level, profile, before=before, at=datetime.now(UTC))
        if profile.account and is_new(store, Level.account(profile.account)):
            warnings.append(f"account '{profile.account}' sets nothing yet; is its name right?")
        # A profile that was written in another spelling says the same.
        changes = [] if profile == stored else draft.changes()
        write_changes(admin, changes, seen=draft.store)
        warn_if_not_announced(admin, settings)
    if as_json:
        print_json({**_as_json(project, profile), "changed": bool(changes), "warnings": warnings})
        return
    done = "Created" if stored is None else "Changed" if changes else "Nothing to change in"
    out.print(f"{done} {level}.")
    print_warnings(warnings)


@app.command(epilog=examples("byom project show --project acme", "byom project show --project acme --json"))
def show(project: RequiredProject, as_json: JsonFlag = False) -> None:
    """Show what is set for a project as a whole, and the chain of its connections."""
    store = configured_store()
    level = Level.project(project)
    profile = read_project(store, project)
    if profile is None:
        raise UnknownProject(f"{level} is not configured; create it with: byom project set {level.flag}")
    chain, problem = _chain(store, project)
    if as_json:
        origins = {name: _origin(profile, name) for name in ProjectProfile.model_fields}
        document = {"origins": origins, "connections": chain, "problem": problem, "warnings": profile_warnings(profile)}
        print_json({**_as_json(project, profile), **document})
        return
    rows = [[name, _value(getattr(profile, name)), _origin(profile, name)] for name in ProjectProfile.model_fields]
    out.print(table(("FIELD", "VALUE", "SET BY"), rows))
    out.print(f"Connections: {escape(', '.join(chain)) or 'none'}")
    if problem:
        err.print(f"[yellow]Warning:[/] {escape(problem)}")
    print_warnings(profile_warnings(profile))


@app.command("list", epilog=examples("byom project list", "byom project list --json"))
def list_all(as_json: JsonFlag = False) -> None:
    """List all projects with what is set for them."""
    store = configured_store()
    profiles = {name: read_project(store, name) or ProjectProfile() for name in list_projects(store)}
    if as_json:
        print_json([_as_json(name, profile) for name, profile in profiles.items()])
        return
    if not profiles:
        err.print("No projects yet; add one with: byom connection add --help")
        return
    columns = ("PROJECT", "ACCOUNT", "WEIGHT", "CAP/DAY", "CAP/MONTH", "BEYOND CAP", "MAX WAITING")
    fields = ("account", "weight", "spend_cap_day_usd", "spend_cap_month_usd", "on_spend_cap", "max_waiting")
    rows = [[name, *(_value(getattr(profile, field)) for field in fields)] for name, profile in profiles.items()]
    out.print(table(columns, rows, right=("WEIGHT", "CAP/DAY", "CAP/MONTH", "MAX WAITING")))


@app.command(epilog=examples("byom project remove --project acme --yes"))
def remove(
    project: RequiredProject,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a project with its connections and its credentials. Its jobs that still wait will fail.

    What would meet a later project of the same name goes, too: a pause, idempotency keys, receivers that wanted no
    more. Usage, caps that were reached, events and dead letters stay.
    """
    settings = load_settings()
    with Admin.opened(settings) as admin:
        store = admin.store
        level = Level.project(project)
        if not any(store.list(level.path, secure=False)) and not any(store.secrets(level.path)):
            raise CommandError(f"{level} is not configured; see: byom project list", code=ExitCode.USAGE)
        ask(f"Remove {level} with all its connections and credentials?", yes=yes, as_json=as_json)
        with forgetting(admin, settings, [level]) as forgotten:
            removed = remove_level(admin, level)
            warn_if_not_announced(admin, settings)
    found = forgotten.get(project)
    if as_json:
        kept = asdict(found) if found else None
        print_json({"project": project, "removed": True, "parameters": removed, "forgotten": kept})
    else:
        out.print(f"Removed {level}: {removed} parameters.")
        say_forgotten([found])


def _profile(stored: ProjectProfile, given: dict[str, Any], unset: list[str]) -> ProjectProfile:
    """The profile with what the command line changes.

    Raises:
        CommandError: a field that no profile has, or one that is both set and unset.
        InvalidConnection: a value does not fit.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if unknown := [name for name in unset if name not in ProjectProfile.model_fields]:
        known = ", ".join(ProjectProfile.model_fields)
        raise CommandError(f"--unset number {unset.index(unknown[0]) + 1} is none of {known}", code=ExitCode.USAGE)
    if both := [name for name in unset if name in changes]:
        raise CommandError(f"{both[0]} is both set and unset; give one", code=ExitCode.USAGE)
    kept = {name: value for name, value in stored.model_dump(exclude_unset=True).items() if name not in unset}
    try:
        return ProjectProfile.model_validate({**kept, **changes})
    except ValidationError as error:
        listed = "; ".join(str(problem) for problem in problems(error, whole="the profile"))
    raise InvalidConnection(f"the profile does not fit: {listed}; nothing was changed")


def _judge(
    store: ParameterStore, level: Level, profile: ProjectProfile, *, before: str | None, at: datetime
) -> list[str]:
    """What is odd about a project with its new profile.

    Raises:
        InvalidConnection: its connections do not fit together any more, or a spend cap could not be enforced.
    """
    problem = broken(store, level)
    if problem is not None and problem != before:
        raise InvalidConnection(f"{problem}; nothing was changed")
    warnings = profile_warnings(profile)
    if problem is None:
        chain = project_connections(store, level.name)
        check_chain(chain, subject=str(level), at=at)
        if not has_primary(chain):
            warnings.append(f"{level} has no primary connection; jobs are refused until it has one")
    return warnings


def _chain(store: ParameterStore, project: str) -> tuple[list[str], str | None]:
    """Names of the connections in their order, and why they cannot be used as they are."""
    try:
        chain = project_connections(store, project)
    except StoreError:
        raise
    except ConfigError as error:
        return [], str(error)
    missing = None if has_primary(chain) else "there is no primary connection; jobs are refused until there is one"
    return [link.connection.name for link in chain], missing


def _as_json(project: str, profile: ProjectProfile) -> dict[str, Any]:
    return {"project": project, **profile.model_dump(mode="json")}


def _origin(profile: ProjectProfile, name: str) -> str:
    return "project" if name in profile.model_fields_set else "default"


def _value(value: float | str | Decimal | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
