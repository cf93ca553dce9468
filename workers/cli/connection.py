"""`byom connection`: the connections of a project, and their credentials."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection, effective_chain, list_projects, project_path
from config.credentials import Credential
from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import ProviderKind, Role
from workers.cli.chains import describe, rehearse, remove_connection, save
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import ConnectionName, ProjectOption, RequiredProject, identifier
from workers.cli.secrets import read_secret
from workers.cli.verifying import print_checks, spent, verify_all
from workers.clock import SystemClock
from workers.providers.endpoints import check_base_url
from workers.providers.registry import build_providers
from workers.verification import Verification

app = typer.Typer(help="Add, list and remove the connections of a project.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "byom connection add --project acme --provider openai --model gpt-6-luna --key-env OPENAI_API_KEY",
        "byom connection add --project acme --provider openai_compatible --model gemma3 \\\n"
        "    --base-url http://127.0.0.1:8000/v1 --role fallback --order 1",
        "pass show openai | byom connection add -p acme --provider openai --model gpt-6-luna --key-stdin",
    )
)
def add(
    project: RequiredProject,
    provider: Annotated[ProviderKind, typer.Option(help="The kind of API.")],
    model: Annotated[str, typer.Option(help="Model id as the provider wants it; see `byom models`.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the connection; without it, its role.", callback=identifier)
    ] = None,
    role: Annotated[Role, typer.Option(help="Place in the chain.")] = Role.PRIMARY,
    order: Annotated[int, typer.Option(min=0, help="Order among the fallbacks, lowest first.")] = 0,
    base_url: Annotated[str | None, typer.Option(help="Replaces the provider's public endpoint.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, for cost allocation; may be repeated.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, a setting of the provider such as location; may be repeated."),
    ] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Read the key from this variable.")] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Read the key from this file.")] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from stdin.")] = False,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Calls in flight at once.")] = None,
    unverified: Annotated[bool, typer.Option("--unverified", help="Take a model that the catalogue lacks.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Save even if the test call fails.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Save without a test call.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Verify a connection by a real call, then save it with its credential; the same name again replaces both.

    Nothing is saved unless the call succeeds, or --force or --no-verify is given. The key is read from a variable, a
    file or stdin: on the command line everybody on this machine could see it.
    """
    settings = load_settings()
    if provider not in build_providers():
        raise CommandError(f"this version cannot call {provider.value} yet; nothing was saved", code=ExitCode.USAGE)
    load_catalogue().find(provider, model, unverified=unverified)
    name = name or role.value
    secret = read_secret(provider, key_env=key_env, key_file=key_file, key_stdin=key_stdin)
    given: dict[str, Any] = {
        "name": name,
        "provider": provider.value,
        "model": model,
        "role": role.value,
        "order": order,
        "base_url": base_url,
        "labels": _pairs(label or [], flag="--label"),
        "max_concurrency": max_concurrency,
        "unverified": unverified or None,
    }
    # Said even when there is none, so that an account's credential never goes to this connection's server.
    document = {field: value for field, value in given.items() if value not in (None, {})}
    settings_given = _pairs(setting or [], flag="--set")
    if named := [key for key in settings_given if key in given or key == "credential"]:
        raise CommandError(f"--set {named[0]}: has an option of its own; see --help", code=ExitCode.USAGE)
    document |= settings_given
    document["credential"] = name if secret else None
    if secret is None and provider is not ProviderKind.OPENAI_COMPATIBLE:
        raise CommandError(
            f"{provider.value} needs a key; say where it is with --key-env NAME, --key-file FILE or --key-stdin",
            code=ExitCode.USAGE,
        )
    store = open_store(settings.store_url, key=settings.store_key)
    effective, complete = rehearse(store, project, document)
    # After what the provider itself asks of its address: that says better what to give instead.
    if base_url is not None:
        check_base_url(base_url, allow_private=settings.allow_private_endpoints)
    report = None if no_verify else _verify(settings, effective, secret, force=force, as_json=as_json)
    version = save(store, project, document, secret)
    if as_json:
        verified = {"verified": report is not None and report.ok, "verification": report.as_json() if report else None}
        print_json({**document, "project": project, "credential_version": version, **verified})
        return
    out.print(f"Saved {role.value} connection '{name}' of project '{project}': {provider.value} {escape(model)}.")
    if report is None:
        out.print(f"It is [yellow]not verified[/]: no call was made with it. Later: byom verify --project {project}")
    elif report.ok:
        out.print(f"Verified with {spent(report)}.")
    else:
        out.print("It [yellow]does not work yet[/] and was saved because of --force.")
    if not complete:
        out.print("The project has no primary connection yet; jobs are refused until it has one.")


@app.command("list", epilog=examples("byom connection list", "byom connection list --project acme --json"))
def list_connections(
    project: ProjectOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the effective chain of a project: what is tried in which order, and where each value was set."""
    store = open_store(load_settings().store_url, key=load_settings().store_key)
    projects = [project] if project else list_projects(store)
    links = [describe(store, link) for name in projects for link in effective_chain(store, name)]
    if as_json:
        print_json(links)
        return
    if not links:
        err.print("No connections yet; add one with: byom connection add --help")
        return
    columns = ("PROJECT", "CONNECTION", "ROLE", "PROVIDER", "MODEL", "ENDPOINT", "CREDENTIAL", "ORIGINS")
    out.print(table(columns, [_row(link) for link in links]))


@app.command(epilog=examples("byom connection remove --project acme --name fallback --yes"))
def remove(
    project: RequiredProject,
    name: ConnectionName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a project's own connection, and its credential if no other connection uses it."""
    store = open_store(load_settings().store_url, key=load_settings().store_key)
    scope = project_path(project)
    path = f"{scope}/connections/{name}"
    if store.get(path) is None:
        raise CommandError(
            f"project '{project}' has no connection '{name}' of its own; see: byom connection list --project {project}",
            code=ExitCode.USAGE,
        )
    if not yes:
        if as_json:
            raise CommandError("removing needs --yes with --json", code=ExitCode.USAGE)
        typer.confirm(f"Remove connection '{name}' of project '{project}' and its credential?", abort=True, err=True)
    credential_removed = remove_connection(store, scope, name)
    if as_json:
        print_json({"project": project, "name": name, "removed": True, "credential_removed": credential_removed})
    else:
        rest = " and its credential" if credential_removed else "; its credential stays"
        out.print(f"Removed connection '{escape(name)}' of project '{escape(project)}'{rest}.")


def _verify(
    settings: Settings, effective: EffectiveConnection, secret: SecretStr | None, *, force: bool, as_json: bool
) -> Verification:
    """Call the model with what is not saved yet; people see every check.

    Raises:
        CommandError: it does not work, and is not forced.
    """
    # No version yet: that is the store's to give.
    credential = Credential(secret=secret, version=0) if secret else None
    [report] = verify_all(settings, [(effective, credential)], clock=SystemClock(), quiet=as_json)
    failure = report.failure
    if not as_json:
        print_checks(out if failure is None else err, report)
    if failure is not None and not force:
        raise CommandError(
            f"connection '{effective.connection.name}' of project '{effective.project}' does not work; nothing was "
            f"saved: {failure.message}. To save it all the same, add --force",
            code=ExitCode.FAILED,
            details={"verification": report.as_json()},
        )
    return report


def _pairs(texts: Iterable[str], *, flag: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not (key and value):
            raise CommandError(f"{flag} {text!r} is not KEY=VALUE", code=ExitCode.USAGE)
        pairs[key] = value
    return pairs


def _row(link: dict[str, Any]) -> list[str]:
    credential = link["credential"]
    if credential is None:
        key = "none"
    elif credential["version"] is None:
        key = f"{credential['name']} MISSING"
    else:
        key = f"{credential['name']} v{credential['version']} #{credential['fingerprint']}"
    place = link["role"] if link["role"] == Role.PRIMARY else f"{link['role']} {link['order']}"
    return [
        link["project"],
        link["name"],
        place,
        link["provider"],
        link["model"],
        link["base_url"] or "",
        key,
        "account" if "account" in link["origins"].values() else "project",
    ]
