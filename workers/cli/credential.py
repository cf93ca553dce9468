"""`byom credential`: the life of a credential, from the day it is added until it is deleted."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from config.credentials import CredentialHistory, CredentialState, VersionFacts, history_of, list_credentials
from config.errors import CredentialMissing
from config.settings import Settings, load_settings
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.credential_trial import Trial, try_version
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import identifier
from workers.cli.scopes import AccountScope, ProjectScope, links_naming, scope_path, scope_words
from workers.cli.secrets import KeyEnv, KeyFile, KeyStdin, read_secret
from workers.configuration.admin import Admin

app = typer.Typer(help="Add, verify, activate, disable and delete versions of credentials.", no_args_is_help=True)

CredentialName = Annotated[str, typer.Option("--name", help="Name of the credential.", callback=identifier)]
Version = Annotated[int, typer.Option("--version", min=1, help="Which version.")]
Reason = Annotated[str | None, typer.Option(help="Why; kept with the version and in the audit log.")]


@app.command(
    epilog=examples(
        "byom credential add --project acme --name primary --key-env NEW_KEY --activate",
        "pass show openai | byom credential add --account corp --name shared --key-stdin",
        'byom credential add -p acme --name primary --key-file key.txt --no-verify --reason "quarterly rotation"',
    )
)
def add(
    name: CredentialName,
    project: ProjectScope = None,
    account: AccountScope = None,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    activate: Annotated[bool, typer.Option("--activate", help="Use it from now on, if it works.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Add it without a test call.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --activate: use it even if it is not verified.")] = False,
    reason: Reason = None,
    as_json: JsonFlag = False,
) -> None:
    """Add a version, and verify it by a real call with each connection that names the credential.

    It is pending, and no job uses it, until it is activated. If it does not work it stays so, with the reason.
    """
    settings, scope = load_settings(), scope_path(project, account)
    with Admin.opened(settings) as admin:
        links = links_naming(admin.store, scope, name)
        provider = links[0].connection.provider if links else None
        secret = read_secret(provider, key_env=key_env, key_file=key_file, key_stdin=key_stdin)
        if secret is None:
            message = "say where the key is, with --key-env NAME, --key-file FILE or --key-stdin"
            raise CommandError(message, code=ExitCode.USAGE)
        version = admin.add_credential(scope, name, secret, reason=reason).version
        if not as_json:
            out.print(f"Added version {version} of credential '{name}' of {scope_words(scope)}; it is pending.")
        trial = None if no_verify else try_version(admin, settings, scope, name, version, quiet=as_json)
        if activate:
            _activate(admin, scope, name, version, trial, force=force, reason=reason, as_json=as_json)
        elif trial is not None and not trial.ok:
            _fail(admin, scope, name, version, trial)
        elif not as_json:
            _say_next(scope, name, version, verified=trial is not None and trial.works)
        _end(admin, settings, scope, name, version, trial, as_json=as_json)


@app.command(
    epilog=examples(
        "byom credential verify --project acme --name primary",
        "byom credential verify --account corp --name shared --version 3 --json",
    )
)
def verify(
    name: CredentialName,
    project: ProjectScope = None,
    account: AccountScope = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Which version; without it the newest pending one, else the active one.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a real call with a version and each connection that names the credential, and note what came of it."""
    settings, scope = load_settings(), scope_path(project, account)
    with Admin.opened(settings) as admin:
        chosen = version or _newest_pending(admin, scope, name, or_active=True)
        trial = try_version(admin, settings, scope, name, chosen, quiet=as_json)
        if not trial.reports:
            raise CommandError(trial.words, code=ExitCode.USAGE)
        if not trial.ok:
            _fail(admin, scope, name, chosen, trial)
        _end(admin, settings, scope, name, chosen, trial, as_json=as_json)


@app.command(
    epilog=examples(
        "byom credential activate --project acme --name primary",
        "byom credential activate --project acme --name primary --version 1 --reason rollback",
    )
)
def activate(
    name: CredentialName,
    project: ProjectScope = None,
    account: AccountScope = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Which version; without it the newest pending one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if it is not verified.")] = False,
    reason: Reason = None,
    as_json: JsonFlag = False,
) -> None:
    """Use a version from now on; the one that was active is disabled, and can be activated again.

    Workers use it within a second. Calls that are under way end with the key that they began with.
    """
    settings, scope = load_settings(), scope_path(project, account)
    with Admin.opened(settings) as admin:
        chosen = version or _newest_pending(admin, scope, name, or_active=False)
        _activate(admin, scope, name, chosen, None, force=force, reason=reason, as_json=as_json)
        _end(admin, settings, scope, name, chosen, None, as_json=as_json)


@app.command(
    epilog=examples("byom credential disable --project acme --name primary --version 1 --reason 'leaked in a log'")
)
def disable(
    name: CredentialName,
    version: Version,
    project: ProjectScope = None,
    account: AccountScope = None,
    reason: Reason = None,
    as_json: JsonFlag = False,
) -> None:
    """Use a version no more; it can be activated again. If it is the active one, its connections have no key then."""
    settings, scope = load_settings(), scope_path(project, account)
    with Admin.opened(settings) as admin:
        changed = admin.disable_credential(scope, name, version, reason=reason)
        if not as_json:
            already = " already" if changed.before is changed.after else ""
            out.print(f"Version {version} of credential '{name}' of {scope_words(scope)} is disabled{already}.")
            if changed.before is CredentialState.ACTIVE:
                err.print("The credential has no active version now: its connections cannot be called.")
        _end(admin, settings, scope, name, version, None, as_json=as_json)


@app.command(
    epilog=examples(
        "byom credential delete --project acme --name primary --version 1",
        "byom credential delete --account corp --name old --yes",
    )
)
def delete(
    name: CredentialName,
    project: ProjectScope = None,
    account: AccountScope = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Which version; without it all, if no connection names the credential.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if the version is active.")] = False,
    reason: Reason = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a version's secret for good, or the whole credential. What is known of it stays, its number too."""
    settings, scope = load_settings(), scope_path(project, account)
    what = f"version {version} of credential '{name}'" if version else f"credential '{name}' with all its versions"
    with Admin.opened(settings) as admin:
        ask(f"Delete {what} of {scope_words(scope)} for good?", yes=yes, as_json=as_json)
        if version:
            deleted = [admin.delete_version(scope, name, version, reason=reason, force=force)]
        else:
            deleted = admin.delete_credential(scope, name, reason=reason)
        if as_json:
            versions = [changed.version for changed in deleted]
            print_json({**_whose(scope), "name": name, "deleted": versions, "announced": admin.announced})
        else:
            out.print(f"Deleted {what} of {scope_words(scope)}.")
            warn_if_not_announced(admin, settings)


@app.command(
    "list",
    epilog=examples("byom credential list --project acme", "byom credential list --account corp --name shared --json"),
)
def list_versions(
    project: ProjectScope = None,
    account: AccountScope = None,
    name: Annotated[str | None, typer.Option(help="Only this credential.", callback=identifier)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show all versions with their states; of secrets only fingerprints."""
    scope = scope_path(project, account)
    store = configured_store()
    found = {key: history for key, history in list_credentials(store, scope).items() if name in {None, key}}
    rows = [
        version_as_json(scope, key, number, facts)
        for key, history in found.items()
        for number, facts in sorted(history.versions.items())
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        err.print(f"{scope_words(scope)} has no such credentials; add one with: byom credential add --help")
        return
    columns = ("CREDENTIAL", "VERSION", "STATE", "FINGERPRINT", "ADDED", "VERIFIED", "CHANGED", "BY", "REASON")
    out.print(table(columns, map(_row, rows), right=("VERSION",)))


def version_as_json(scope: str, name: str, number: int, facts: VersionFacts) -> dict[str, Any]:
    """A version as a document."""
    return {**_whose(scope), "name": name, "version": number, **facts.model_dump(mode="json")}


def _activate(
    admin: Admin,
    scope: str,
    name: str,
    version: int,
    trial: Trial | None,
    *,
    force: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    if trial is not None and not trial.works and not force:
        _fail(admin, scope, name, version, trial)
    changed = admin.activate_credential(scope, name, version, reason=reason, force=force)
    if as_json:
        return
    out.print(f"Version {version} of credential '{name}' of {scope_words(scope)} is active.")
    if changed.replaced is not None:
        out.print(f"Version {changed.replaced} is disabled; delete it when you are sure.")


def _fail(admin: Admin, scope: str, name: str, version: int, trial: Trial) -> None:
    """End the command: the version did not work, or could not be tried.

    Raises:
        CommandError: always.
    """
    history = history_of(admin.store, scope, name) or CredentialHistory()
    state = history.versions[version].state.value
    raise CommandError(
        f"version {version} of credential '{name}' of {scope_words(scope)} stays {state}: {trial.words}",
        code=ExitCode.FAILED,
        details={
            "credential": version_as_json(scope, name, version, history.versions[version]),
            "verification": [report.as_json() for report in trial.reports],
        },
    )


def _say_next(scope: str, name: str, version: int, *, verified: bool) -> None:
    _, _, kind, whose = scope.split("/")
    flags = f"--{kind.removesuffix('s')} {whose} --name {name} --version {version}"
    if not verified:
        out.print(f"It is [yellow]not verified[/]. Later: byom credential verify {flags}")
    out.print(f"To use it: byom credential activate {flags}{'' if verified else ' --force'}")


def _end(
    admin: Admin, settings: Settings, scope: str, name: str, version: int, trial: Trial | None, *, as_json: bool
) -> None:
    if not as_json:
        warn_if_not_announced(admin, settings)
        return
    history = history_of(admin.store, scope, name) or CredentialHistory()
    document = version_as_json(scope, name, version, history.versions[version])
    reports = None if trial is None else [report.as_json() for report in trial.reports]
    print_json({**document, "verification": reports, "announced": admin.announced})


def _newest_pending(admin: Admin, scope: str, name: str, *, or_active: bool) -> int:
    """The version that a command is about when none is named.

    Raises:
        CredentialMissing: there is no such credential, or no such version.
    """
    history = history_of(admin.store, scope, name)
    if history is None:
        raise CredentialMissing(f"{scope_words(scope)} has no credential '{name}'; add it with: byom credential add")
    pending = [number for number in history.left if history.versions[number].state is CredentialState.PENDING]
    if pending:
        return pending[-1]
    if or_active and history.active is not None:
        return history.active
    raise CredentialMissing(
        f"the credential '{name}' of {scope_words(scope)} has no pending version; say which is meant with --version; "
        f"it has: {history.summary()}"
    )


def _whose(scope: str) -> dict[str, str | None]:
    _, _, kind, name = scope.split("/")
    return {"project": name if kind == "projects" else None, "account": name if kind == "accounts" else None}


def _row(version: dict[str, Any]) -> Sequence[str]:
    return [
        version["name"],
        str(version["version"]),
        version["state"],
        version["fingerprint"],
        version["created_at"][:16],
        (version["verified_at"] or "never")[:16],
        version["changed_at"][:16],
        version["changed_by"],
        version["reason"] or "",
    ]
