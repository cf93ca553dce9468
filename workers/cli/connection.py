"""`byom connection`: the connections of a project or an account, and their credentials."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import ProjectProfile, read_project, save_connection, write_project
from config.connections.documents import Document
from config.connections.draft import Draft
from config.connections.paths import Level
from config.kinds import kind_of
from config.settings import load_settings
from tasks.contract import ProviderKind, Role
from workers.cli import connection_edit, connection_show
from workers.cli.changes_to_store import write_changes
from workers.cli.console import JsonFlag, out, print_json
from workers.cli.documents import pairs, read_document, refuse_secrets
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.levels import AccountOption, one_level, open_draft
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import OnSpendCapOption, ProjectOption, SpendCapDay, SpendCapMonth, identifier
from workers.cli.saving import (
    ForceFlag,
    NoVerifyFlag,
    has_own_server,
    judge,
    print_trial,
    print_warnings,
    stored_credential,
    unsaved,
    verification_json,
    verify_link,
)
from workers.cli.secrets import KeyEnv, KeyFile, KeyStdin, read_secret
from workers.configuration.admin import Admin
from workers.providers.registry import build_providers
from workers.verification import Verification

app = typer.Typer(help="Add, change, show and remove the connections of a project or an account.", no_args_is_help=True)

#: Fields that `add` takes through an option, and not through --set as well: two ways would contradict each other.
_OPTIONS_ONLY = frozenset(
    {"name", "provider", "model", "role", "order", "base_url", "labels", "max_concurrency", "unverified", "credential"}
)


@app.command(
    epilog=examples(
        "byom connection add --project acme --provider openai --model gpt-6-luna --key-env OPENAI_API_KEY",
        "byom connection add --project acme --provider openai_compatible --model gemma3 \\\n"
        "    --base-url http://127.0.0.1:8000/v1 --role fallback --order 1",
        "pass show openai | byom connection add -p acme --provider openai --model gpt-6-luna --key-stdin",
        "byom connection add --account corp --file connection.json --key-env OPENAI_API_KEY --tpm 200000",
    )
)
def add(
    project: ProjectOption = None,
    account: AccountOption = None,
    provider: Annotated[ProviderKind | None, typer.Option(help="The kind of API.")] = None,
    model: Annotated[str | None, typer.Option(help="Model id as the provider wants it; see `byom models`.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the connection; without it, its role.", callback=identifier)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="A JSON object with the fields; - is stdin. Options beat it."),
    ] = None,
    role: Annotated[Role | None, typer.Option(help="Place in the chain; without it, primary.")] = None,
    order: Annotated[int | None, typer.Option(min=0, help="Order among the fallbacks, lowest first.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Replaces the provider's public endpoint.")] = None,
    organization: Annotated[str | None, typer.Option(help="OpenAI: the organization to bill.")] = None,
    api_version: Annotated[str | None, typer.Option(help="Azure OpenAI: another API version than the current.")] = None,
    gcp_project: Annotated[str | None, typer.Option(help="Vertex AI: another project than the key's.")] = None,
    location: Annotated[str | None, typer.Option(help="Vertex AI: where the model runs.")] = None,
    region: Annotated[str | None, typer.Option(help="Bedrock: the AWS region.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Bedrock: what the role's trust policy asks for.")] = None,
    structured_output: Annotated[str | None, typer.Option(help="Bedrock: tool or native.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, for cost allocation; may be repeated.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, any other field; may be repeated."),
    ] = None,
    credential: Annotated[
        str | None,
        typer.Option(help="Name of a credential that is there already, instead of a key.", callback=identifier),
    ] = None,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    tpm: Annotated[int | None, typer.Option(min=1, help="Size of the token bucket.")] = None,
    tpm_refill: Annotated[float | None, typer.Option(help="Tokens that are added to it per second.")] = None,
    output_tpm: Annotated[
        int | None, typer.Option(min=1, help="A bucket for output alone, where the vendor has one.")
    ] = None,
    output_tpm_refill: Annotated[float | None, typer.Option(help="Output tokens that are added per second.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Size of the bucket of requests.")] = None,
    rpm_refill: Annotated[float | None, typer.Option(help="Requests that are added to it per second.")] = None,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Calls in flight at once.")] = None,
    spend_cap_day: SpendCapDay = None,
    spend_cap_month: SpendCapMonth = None,
    on_spend_cap: OnSpendCapOption = None,
    unverified: Annotated[bool, typer.Option("--unverified", help="Take a model that the catalogue lacks.")] = False,
    force: ForceFlag = False,
    no_verify: NoVerifyFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Verify a connection by a real call, then save it with its credential; the same name again replaces both.

    Nothing is saved unless the call succeeds, or --force or --no-verify is given. The key is read from a variable, a
    file or stdin: on the command line everybody on this machine could see it.
    """
    level = one_level(project, account)
    settings = load_settings()
    if str(file) == "-" and key_stdin:
        raise CommandError("--file - and --key-stdin both read stdin; give one", code=ExitCode.USAGE)
    given: dict[str, Any] = {
        "name": name,
        "provider": provider.value if provider else None,
        "model": model,
        "role": role.value if role else None,
        "order": order,
        "base_url": base_url,
        "organization": organization,
        "api_version": api_version,
        "gcp_project": gcp_project,
        "location": location,
        "region": region,
        "external_id": external_id,
        "structured_output": structured_output,
        "labels": pairs(label or [], flag="--label") or None,
        "tpm_capacity": tpm,
        "tpm_refill_per_second": tpm_refill,
        "output_tpm_capacity": output_tpm,
        "output_tpm_refill_per_second": output_tpm_refill,
        "rpm_capacity": rpm,
        "rpm_refill_per_second": rpm_refill,
        "max_concurrency": max_concurrency,
        "spend_cap_day_usd": _text(spend_cap_day),
        "spend_cap_month_usd": _text(spend_cap_month),
        "on_spend_cap": on_spend_cap,
        "unverified": unverified or None,
        "credential": credential,
    }
    document = _complete(read_document(file), given, pairs(setting or [], flag="--set"))
    kind = ProviderKind(document["provider"])
    load_catalogue().find(kind, document["model"], unverified=document.get("unverified") is True)
    if credential is not None and (key_env or key_file or key_stdin):
        raise CommandError("--credential names one that is there; give that or a key, not both", code=ExitCode.USAGE)
    secret = read_secret(
        kind,
        key_env=key_env,
        key_file=key_file,
        key_stdin=key_stdin,
        own_server=has_own_server(kind, document.get("base_url")),
        region=document["region"] if isinstance(document.get("region"), str) else None,
    )
    _name_credential(document, secret)
    with Admin.opened(settings) as admin:
        store = admin.store
        draft = open_draft(store, level)
        connection = save_connection(draft.store, level.path, document)
        _create(draft, level)
        judged = judge(store, draft, level, connection.name, settings=settings, at=datetime.now(UTC))
        ready = unsaved(secret) if secret else stored_credential(store, judged.link, force=force)
        report = None if no_verify else verify_link(settings, level, judged.link, ready, force=force, as_json=as_json)
        works = report is not None and report.ok
        version = ready and ready.version
        if secret is not None:
            # The credential comes first: a worker that already sees the connection must find its key.
            version = admin.save_credential(level.path, document["credential"], secret, verified=works)
        write_changes(admin, draft.changes(), seen=draft.store)
        warn_if_not_announced(admin, settings)
    if as_json:
        rest = {level.kind: level.name, "credential_version": version, "warnings": judged.warnings}
        print_json({**document, **rest, **verification_json(report)})
        return
    role_words = connection.role.value
    out.print(f"Saved {role_words} connection '{connection.name}' of {level}: {kind.value} {escape(connection.model)}.")
    _say(level, report, complete=judged.complete)
    print_warnings(judged.warnings)


def _complete(document: Document, given: Document, settings: dict[str, str]) -> Document:
    """The whole document: the file's fields, the options, which beat it, and what --set says beside them.

    Raises:
        CommandError: --set names what has an option, or provider or model are missing.
        InvalidFile: something looks like a secret.
    """
    if named := [key for key in settings if key in _OPTIONS_ONLY or given.get(key) is not None]:
        raise CommandError(f"--set {named[0]}: has an option of its own; see --help", code=ExitCode.USAGE)
    options = {field: value for field, value in given.items() if value is not None} | settings
    refuse_secrets(options, source="the command line")
    document = {**document, **options}
    for field in ("provider", "model"):
        if not isinstance(document.get(field), str):
            hint = _recommended(document.get("provider"))
            raise CommandError(f"say which {field}: --{field}, or '{field}' in --file{hint}", code=ExitCode.USAGE)
    if document["provider"] not in build_providers():
        known = ", ".join(kind.value for kind in ProviderKind)
        listed = document["provider"] in set(ProviderKind)
        said = f"this version cannot call {document['provider']} yet" if listed else f"the provider is none of {known}"
        raise CommandError(f"{said}; nothing was saved", code=ExitCode.USAGE)
    document.setdefault("role", Role.PRIMARY.value)
    document.setdefault("order", 0)
    document.setdefault("name", document["role"])
    return document


def _recommended(provider: Any) -> str:
    """What to choose, of a provider or where none is said."""
    for facts in load_catalogue():
        if facts.first_choice if provider is None else facts.recommended and facts.provider.value == provider:
            return f". Recommended: --provider {facts.provider.value} --model {facts.id}"
    return ""


def _name_credential(document: Document, secret: SecretStr | None) -> None:
    """Say which credential the connection has; said even when there is none, so that an account's never goes to it.

    Raises:
        CommandError: there is none, and the provider needs one.
    """
    if secret is not None:
        document["credential"] = document.get("credential") or document["name"]
    else:
        document.setdefault("credential", None)
    if document["credential"] is None and kind_of(ProviderKind(document["provider"])).needs_credential:
        raise CommandError(
            f"{document['provider']} needs a key; say where it is with --key-env NAME, --key-file FILE or --key-stdin, "
            "or name one that is there with --credential NAME",
            code=ExitCode.USAGE,
        )


def _create(draft: Draft, level: Level) -> None:
    """Make the project, if it is new."""
    if level.kind == "project" and read_project(draft.store, level.name) is None:
        write_project(draft.store, level.name, ProjectProfile())


def _say(level: Level, report: Verification | None, *, complete: bool) -> None:
    print_trial(report, later=f" Later: byom verify --project {level.name}" if level.kind == "project" else "")
    if not complete and level.kind == "project":
        out.print("The project has no primary connection yet; jobs are refused until it has one.")


def _text(cap: Decimal | None) -> str | None:
    return None if cap is None else str(cap)


app.command("list", epilog=connection_show.LIST_EXAMPLES)(connection_show.list_connections)
app.command("show", epilog=connection_show.SHOW_EXAMPLES)(connection_show.show)
app.command("set", epilog=connection_edit.SET_EXAMPLES)(connection_edit.set_fields)
app.command("remove", epilog=connection_edit.REMOVE_EXAMPLES)(connection_edit.remove)
