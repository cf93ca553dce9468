"""`byom config`: the whole configuration as one YAML file without secrets, to be kept under version control."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection
from config.connections.paths import Level
from config.connections.review import Review, review
from config.credentials import Credential, read_credential
from config.declaration import ConfigFile, Difference, Plan, all_levels, make_plan, read_file, snapshot, write_file
from config.errors import ConfigError, InvalidConnection, InvalidFile, MalformedCredential, StoreError
from config.kms_check import Status, check_kms_key
from config.settings import Settings, load_settings
from config.store import ParameterStore
from workers.cli.chains import find_link
from workers.cli.changes_to_store import credential_command, has_credential, write_changes
from workers.cli.console import JsonFlag, err, one_line, out, print_json
from workers.cli.context import configured_store
from workers.cli.documents import read_text
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.forgotten import forgetting, say_forgotten
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import identifier
from workers.cli.saving import must_verify, print_warnings, shape_problem
from workers.cli.verifying import print_checks, verify_all
from workers.clock import SystemClock
from workers.configuration.admin import Admin
from workers.providers.endpoints import check_base_url
from workers.verification import Verification

#: A connection, as the level sees it that sets it.
_Link = tuple[Level, EffectiveConnection]
_Ready = tuple[Level, EffectiveConnection, Credential | None]

app = typer.Typer(help="Export, compare and apply the configuration as one YAML file.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file; - is stdin.")]
_Project = Annotated[str | None, typer.Option("--project", "-p", help="Only this project.", callback=identifier)]
_Account = Annotated[str | None, typer.Option("--account", help="Only this account.", callback=identifier)]
_Prune = Annotated[bool, typer.Option("--prune", help="Also remove what the file does not name.")]


@app.command(
    epilog=examples(
        "byom config export > byom.yaml",
        "byom config export --project acme --output acme.yaml",
    )
)
def export(
    project: _Project = None,
    account: _Account = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print accounts, projects and connections exactly as each level sets them; credentials are names only."""
    store = configured_store()
    only = _only(project, account)
    file = snapshot(store, sorted(only, key=str) if only else all_levels(store))
    _see_named(only, file, "the store")
    text = write_file(file)
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "not a path"
            raise CommandError(f"cannot write {one_line(output)}: {said}", code=ExitCode.USAGE) from None
        err.print(f"Wrote {len(file.accounts)} accounts and {len(file.projects)} projects to {escape(str(output))}.")
    if as_json:
        print_json(file.model_dump(mode="json", exclude_unset=True))
    elif output is None:
        typer.echo(text, nl=False)


@app.command(
    epilog=examples(
        "byom config diff byom.yaml",
        "byom config diff byom.yaml --prune --json",
        notes="Ends with 0 when the store says what the file says, and with 1 when there are differences.",
    )
)
def diff(
    file: _File,
    project: _Project = None,
    account: _Account = None,
    prune: _Prune = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what `byom config apply` would change, field by field. Changes nothing, and calls no provider."""
    store = configured_store()
    plan = _plan(store, file, project, account, prune=prune)
    if as_json:
        print_json({"differences": [difference.as_json() for difference in plan.differences]})
    else:
        _print_differences(plan.differences)
        if not plan.differences:
            err.print("No differences.")
    if plan.differences:
        raise typer.Exit(ExitCode.FAILED)


@app.command(
    epilog=examples(
        "byom config apply byom.yaml --dry-run",
        "byom config apply byom.yaml",
        "byom config apply byom.yaml --project acme --prune",
        notes="Applying the same file again changes nothing and writes nothing.",
    )
)
def apply(
    file: _File,
    project: _Project = None,
    account: _Account = None,
    prune: _Prune = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Apply even if credentials are missing or test calls fail.")
    ] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Apply without test calls.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the store say what a file says: all of it, or nothing.

    First the whole result is checked: every connection and chain that changes or inherits a change, that every
    credential is there, and by a real call every connection whose provider, model, credential or address changes.
    """
    settings = load_settings()
    with Admin.opened(settings) as admin:
        store = admin.store
        plan = _plan(store, file, project, account, prune=prune)
        reviewed = _review(plan, settings, at=datetime.now(UTC))
        ready = _credentials(store, reviewed.links, force=force)
        if not force:
            _try_keys(store, plan)
        reports = [] if no_verify or dry_run else _verify(settings, store, ready, force=force, as_json=as_json)
        lessened = dict.fromkeys(one.level for one in plan.differences if one.action == "removed")
        with forgetting(admin, settings, list(lessened)) as forgotten:
            if not dry_run:
                write_changes(admin, plan.draft.changes(), seen=plan.draft.store)
            warn_if_not_announced(admin, settings)
    if as_json:
        print_json(
            {
                "applied": not dry_run,
                "differences": [difference.as_json() for difference in plan.differences],
                "warnings": reviewed.warnings,
                "verifications": [report.as_json() for report in reports],
            }
        )
        return
    _print_differences(plan.differences)
    print_warnings(reviewed.warnings)
    say_forgotten(list(forgotten.values()))
    count = "1 change" if len(plan.differences) == 1 else f"{len(plan.differences)} changes"
    if not plan.differences:
        err.print("Nothing to change.")
    else:
        err.print(f"{count} would be applied; nothing was written." if dry_run else f"Applied {count}.")


def _plan(store: ParameterStore, file: Path, project: str | None, account: str | None, *, prune: bool) -> Plan:
    text, source = read_text(file)
    said = read_file(text, source=source)
    only = _only(project, account)
    if not prune:
        _see_named(only, said, source)
    return make_plan(store, said, only=only, prune=prune)


def _only(project: str | None, account: str | None) -> frozenset[Level]:
    levels = {Level.project(project) if project else None, Level.account(account) if account else None}
    return frozenset(level for level in levels if level is not None)


def _see_named(only: frozenset[Level], file: ConfigFile, source: str) -> None:
    """See that the levels that a command is limited to are there: a misspelt name must not pass for nothing to do.

    Raises:
        InvalidFile: one is not.
    """
    for level in only:
        if level.name not in (file.projects if level.kind == "project" else file.accounts):
            raise InvalidFile(f"{source} has no {level}")


def _review(plan: Plan, settings: Settings, *, at: datetime) -> Review:
    """Judge the whole result.

    Raises:
        InvalidConnection: it must not be applied; says everything that is wrong with it.
    """
    reviewed = review(plan.draft.store, plan.concerned, catalogue=load_catalogue(), at=at)
    problems = list(reviewed.problems)
    for level, link in reviewed.links:
        if link.connection.base_url is not None:
            try:
                check_base_url(link.connection.base_url, allow_private=settings.allow_private_endpoints)
            except ConfigError as error:
                problems.append(f"connection '{link.connection.name}' of {level}: {error}")
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  - {problem}" for problem in problems)
        raise InvalidConnection(f"the file does not fit, so nothing was applied: {listed}")
    return reviewed


def _credentials(store: ParameterStore, links: Sequence[_Link], *, force: bool) -> list[_Ready]:
    """The connections that can be called, with their credentials.

    Raises:
        CommandError: some credentials are not in the store; says how to add each.
        MalformedCredential: one belongs to another kind of provider.
    """
    missing = [link for _, link in links if not has_credential(store, link)]
    if missing and not force:
        commands = list(dict.fromkeys(credential_command(link) for link in missing))
        listed = "".join(f"\n  {command}" for command in commands)
        raise CommandError(
            f"{len(commands)} credentials are not in the store, so nothing was applied; add them, or apply with "
            f"--force and add them later:{listed}",
            code=ExitCode.USAGE,
            details={"commands": commands},
        )
    ready = [(level, link, read_credential(store, link)) for level, link in links if link not in missing]
    for level, link, credential in ready:
        if problem := shape_problem(link, credential):
            raise MalformedCredential(f"connection '{link.connection.name}' of {level}: {problem}. Nothing was applied")
    return ready


def _try_keys(store: ParameterStore, plan: Plan) -> None:
    """Try every customer's KMS key that the file sets, as `byom account set-kms` does.

    Raises:
        CommandError: one of them does not work: secrets could not be written, or not be read again.
    """
    for difference in plan.differences:
        _, arn = difference.fields.get("kms_key", (None, None))
        if arn is None:
            continue
        failed = [check for check in check_kms_key(store, difference.level.name, arn) if check.status is not Status.OK]
        if failed:
            raise CommandError(
                f"the KMS key of {difference.level} does not work, so nothing was applied: {failed[0].message}. To "
                "apply the file all the same, add --force",
                code=ExitCode.FAILED,
                details={"missing": [check.missing for check in failed if check.missing]},
            )


def _verify(
    settings: Settings, store: ParameterStore, ready: Sequence[_Ready], *, force: bool, as_json: bool
) -> list[Verification]:
    """Call every connection that changed in what decides whether calls work.

    Raises:
        CommandError: one of them does not work, and is not forced.
    """
    changed = [
        (level, link, credential)
        for level, link, credential in ready
        if must_verify(_before(store, level, link.connection.name), link)
    ]
    if not changed:
        return []
    calls = [(link, credential) for _, link, credential in changed]
    reports = verify_all(settings, calls, clock=SystemClock(), quiet=as_json)
    failed = {
        f"'{report.connection}' of {level}": report
        for (level, _, _), report in zip(changed, reports, strict=True)
        if not report.ok
    }
    for name, report in failed.items() if not as_json else ():
        err.print(f"[bold]{escape(name)}[/]")
        print_checks(err, report)
    if failed and not force:
        raise CommandError(
            f"{len(failed)} connections do not work, so nothing was applied: {', '.join(failed)}. To apply all the "
            "same, add --force",
            code=ExitCode.FAILED,
            details={"verifications": [report.as_json() for report in failed.values()]},
        )
    return reports


def _before(store: ParameterStore, level: Level, name: str) -> EffectiveConnection | None:
    """A connection as the store has it; None when it is new, or cannot be resolved."""
    try:
        return find_link(store, level, name)
    except StoreError:
        raise
    except ConfigError:
        return None


def _print_differences(differences: Sequence[Difference]) -> None:
    marks = {"added": "[green]+[/]", "changed": "[yellow]~[/]", "removed": "[red]-[/]"}
    for difference in differences:
        out.print(f"{marks[difference.action]} {escape(difference.path)}")
        for name, (before, after) in difference.fields.items():
            out.print(f"    {escape(name)}: {escape(_shown(before))} → {escape(_shown(after))}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={text}" for key, text in sorted(value.items())) or "{}"
    return "not set" if value is None else str(value)
