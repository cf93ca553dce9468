"""`byom models check`: the models in use and those of the catalogue, held against the providers' own lists."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.catalogue import Catalogue, load_catalogue
from config.connections import EffectiveConnection, effective_chain, list_projects, project_path, save_connection
from config.credentials import Credential, read_credential
from config.errors import CredentialMissing
from config.kinds import kind_of
from config.settings import Settings, load_settings
from config.store import MemoryStore, ParameterStore, open_store
from tasks.contract import ProviderKind
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import ProjectOption
from workers.cli.secrets import read_secret
from workers.cli.verifying import Providers, run_calls
from workers.clock import Clock, SystemClock
from workers.providers.base import Fault
from workers.providers.endpoints import check_base_url
from workers.providers.transport import Transport
from workers.verification import Status
from workers.verification.compare import Finding, compare
from workers.verification.diagnosis import diagnose
from workers.verification.live_models import LiveModels, live_models
from workers.verification.probe import probe_call

EXAMPLES = examples(
    "byom models check",
    "byom models check --project acme",
    "byom models check --provider openai --key-env OPENAI_API_KEY --json",
    notes="Ends with 1 when a model in use or of the catalogue is gone or ends within 30 days, and when a list cannot\n"
    "be read.",
)

_WORDS = {Status.OK: "new", Status.WARNING: "warning", Status.FAILED: "FAILED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One list to read: a provider, seen with one credential."""

    #: What the list is read with; one of the connections that share it.
    effective: EffectiveConnection
    credential: Credential | None
    #: Why the list cannot even be asked for.
    problem: str = ""
    #: Model → the connections that call it.
    in_use: dict[str, list[str]] = field(default_factory=dict)

    @property
    def provider(self) -> ProviderKind:
        return self.effective.connection.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What a list says."""

    source: _Source
    #: How many models it has; None where there is none.
    listed: int | None
    problem: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        return not self.problem and all(finding.status is not Status.FAILED for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        used = self.source.in_use
        return {
            "provider": self.source.provider.value,
            "listed": self.listed,
            "problem": self.problem or None,
            "findings": [
                {**finding.as_json(), "connections": used.get(finding.model, [])} for finding in self.findings
            ],
        }


def check(
    project: ProjectOption = None,
    provider: Annotated[ProviderKind | None, typer.Option(help="A provider instead of projects.")] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Its key is in this variable.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Its endpoint, where it has no public one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare with the providers' own lists: models that are gone or end soon, days that differ, new small models.

    Without options the connections of all projects are looked at, each list once and with its own credential.
    """
    settings = load_settings()
    if provider is not None and project is None:
        sources = [_source_of_provider(settings, provider, key_env=key_env, base_url=base_url)]
    elif provider or key_env or base_url:
        raise CommandError("give either --project, or --provider with --key-env and --base-url", code=ExitCode.USAGE)
    else:
        store = open_store(settings.store_url, key=settings.store_key)
        sources = _sources_of_projects(store, [project] if project else list_projects(store))
    outcomes = _examine(settings, sources, clock=SystemClock(), quiet=as_json)
    if as_json:
        print_json({"ok": all(outcome.ok for outcome in outcomes), "sources": [one.as_json() for one in outcomes]})
    else:
        _print(outcomes)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(ExitCode.FAILED)


def _source_of_provider(
    settings: Settings, provider: ProviderKind, *, key_env: str | None, base_url: str | None
) -> _Source:
    secret = read_secret(provider, key_env=key_env, key_file=None, key_stdin=False)
    if secret is None and kind_of(provider).needs_credential:
        raise CommandError(f"{provider.value} needs a key; say where it is with --key-env NAME", code=ExitCode.USAGE)
    # Not saved anywhere; only the list is asked for, so that any model will do.
    document = {
        "name": "check",
        "provider": provider.value,
        "model": "any",
        "unverified": True,
        "credential": "check" if secret else None,
        "base_url": base_url,
    }
    scope = project_path("check")
    connection = save_connection(MemoryStore(), scope, document)
    if base_url is not None:
        check_base_url(base_url, allow_private=settings.allow_private_endpoints)
    effective = EffectiveConnection(
        connection=connection,
        project="check",
        account=None,
        credential_scope=f"{scope}/credentials",
        origins={},
    )
    return _Source(effective=effective, credential=Credential(secret=secret, version=0) if secret else None)


def _sources_of_projects(store: ParameterStore, projects: Iterable[str]) -> list[_Source]:
    sources: dict[tuple[object, ...], _Source] = {}
    for link in (link for project in projects for link in effective_chain(store, project)):
        connection = link.connection
        key = (connection.provider, connection.base_url, link.credential_path)
        if key not in sources:
            try:
                sources[key] = _Source(effective=link, credential=read_credential(store, link))
            except CredentialMissing as error:
                sources[key] = _Source(effective=link, credential=None, problem=str(error))
        sources[key].in_use.setdefault(connection.model, []).append(f"{link.project}/{connection.name}")
    return list(sources.values())


def _examine(settings: Settings, sources: Sequence[_Source], *, clock: Clock, quiet: bool) -> list[_Outcome]:
    catalogue, today = load_catalogue(), clock.now().date()

    async def calls(providers: Providers, transport: Transport) -> list[LiveModels | Fault | None]:
        return await asyncio.gather(
            *(_list(source, providers, transport, catalogue, settings.call_timeout) for source in sources)
        )

    lists = run_calls(settings, calls, quiet=quiet) if sources else []
    return [_outcome(source, live, catalogue, today) for source, live in zip(sources, lists, strict=True)]


async def _list(
    source: _Source, providers: Providers, transport: Transport, catalogue: Catalogue, seconds: float
) -> LiveModels | Fault | None:
    if source.problem:
        return None
    facts = catalogue.find(source.provider, source.effective.connection.model, unverified=True)
    call = probe_call(source.effective, source.credential, facts)
    return await live_models(call, provider=providers[source.provider], transport=transport, timeout=seconds)


def _outcome(source: _Source, live: LiveModels | Fault | None, catalogue: Catalogue, today: date) -> _Outcome:
    problem = source.problem
    if isinstance(live, Fault):
        failed = next(check for check in diagnose(live, source.effective.connection) if check.status is Status.FAILED)
        problem, live = f"the list cannot be read: {failed.message}; {failed.mend}", None
    known = [facts for facts in catalogue if facts.provider is source.provider]
    return _Outcome(
        source=source,
        listed=len(live.models) if live else None,
        problem=problem,
        findings=compare(known, source.in_use, live, today=today),
    )


def _print(outcomes: Sequence[_Outcome]) -> None:
    rows = [_row(outcome, finding) for outcome in outcomes for finding in outcome.findings]
    if rows:
        out.print(table(("PROVIDER", "MODEL", "IN USE BY", "", "FOUND"), rows))
    for outcome in outcomes:
        provider = outcome.source.provider.value
        if outcome.problem:
            err.print(f"[bold red]{provider}:[/] {escape(outcome.problem)}")
        elif outcome.listed is None:
            err.print(f"{provider} keeps no list for its keys: only the catalogue's days were looked at.")
        else:
            err.print(f"{provider} lists {outcome.listed} models; {len(outcome.findings)} findings.")
    if not outcomes:
        err.print("No connections yet; look at a provider with --provider and --key-env.")


def _row(outcome: _Outcome, finding: Finding) -> list[str]:
    connections = outcome.source.in_use.get(finding.model, [])
    provider = outcome.source.provider.value
    return [provider, finding.model, ", ".join(connections), _WORDS[finding.status], finding.message]
