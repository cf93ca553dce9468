"""Where the demo's answers come from: the simulator, a real provider, or a small model on this machine."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.kinds import KINDS, kind_of
from config.store import ParameterStore
from tasks.contract import FailureCode, ProviderKind, Role
from workers.cli.errors import CommandError, ExitCode
from workers.embedded.local_model import LocalModel, LocalModelUnavailable
from workers.embedded.simulator import (
    FaultRule,
    Injection,
    Latency,
    Options,
    RemoteSimulator,
    SimulatorThread,
    fingerprint,
)
from workers.embedded.simulator.wire import stand_in

#: Projects of the scenes with one connection.
_PROJECTS = ("acme", "globex", "initech")

#: The simulated story: project → primary, fallbacks.
_STORY: dict[str, tuple[ProviderKind, ...]] = {
    "acme": (ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE),
    "globex": (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.OPENAI),
    "initech": (ProviderKind.ANTHROPIC,),
    "hooli": (ProviderKind.GEMINI, ProviderKind.VERTEX),
    "umbrella": (ProviderKind.VERTEX,),
    "wonka": (ProviderKind.AZURE_OPENAI,),
    "stark": (ProviderKind.BEDROCK, ProviderKind.ANTHROPIC),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One connection of a project of the demo."""

    role: Role
    provider: ProviderKind
    model: str
    secret: SecretStr | None = None
    base_url: str | None = None
    max_concurrency: int | None = None

    def save(self, store: ParameterStore, project: str) -> None:
        """Write it, and its key, to the store of the demo."""
        scope = project_path(project)
        document: dict[str, Any] = {"name": self.role.value, "provider": self.provider.value, "model": self.model}
        document |= {"role": self.role.value, "credential": self.role.value if self.secret else None}
        document |= {"base_url": self.base_url} if self.base_url else {}
        document |= {"max_concurrency": self.max_concurrency} if self.max_concurrency else {}
        document |= {"labels": {"demo": "yes"}}
        if self.secret:
            save_credential(store, scope, self.role.value, self.secret)
        save_connection(store, scope, document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A primary that goes away for a while."""

    project: str
    provider: ProviderKind
    #: Makes it go away.
    begin: Callable[[], None]
    #: Brings it back.
    end: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the demo runs on."""

    #: `simulator`, `live` or `local-model`.
    name: str
    #: What must be said of the answers.
    honesty: str
    #: Project → its connections.
    chains: Mapping[str, tuple[Link, ...]]
    #: Jobs, unless the user says otherwise.
    jobs: int
    #: Whether only the shortest samples are sent, one episode each.
    short: bool = False
    #: Failures that belong to the scene; any other fails the demo.
    expected: frozenset[str] = frozenset()
    #: Seconds for one call.
    call_timeout: float = 30
    #: Where service accounts get their tokens, if not from Google.
    google_token_url: str | None = None
    outage: Outage | None = None
    #: Tokens that the provider says it has served, where it keeps books that we can read.
    served_tokens: Callable[[], int] | None = None

    def save(self, store: ParameterStore) -> None:
        """Configure the projects."""
        for project, links in self.chains.items():
            save_project(store, project)
            for link in links:
                link.save(store, project)


def choose(*, live: bool, local_model: bool) -> AbstractContextManager[Scene]:
    """The scene that the flags ask for.

    Raises:
        CommandError: the flags exclude each other.
    """
    if live and local_model:
        raise CommandError("--live and --local-model exclude each other", code=ExitCode.USAGE)
    return on_live_provider(os.environ) if live else on_local_model() if local_model else on_simulator()


@contextmanager
def on_simulator() -> Iterator[Scene]:
    """Projects on all kinds of provider, simulated, each with keys of its own."""
    options = Options(latency=Latency(low=0.3, high=1.2))
    with SimulatorThread(options) as simulator:
        urls = simulator.base_urls
        chains = {
            project: tuple(_simulated(project, kind, place, urls) for place, kind in enumerate(kinds))
            for project, kinds in _story().items()
        }
        yield Scene(
            name="simulator",
            honesty="Simulated: the answers come from fixed rules in a local simulator, not from a language model.",
            chains=chains,
            jobs=84,
            google_token_url=urls["google_oauth"],
            outage=_outage(simulator, "acme", chains["acme"][0]),
            served_tokens=lambda: simulator.books(entries=0).billed.total,
        )


def _story() -> dict[str, tuple[ProviderKind, ...]]:
    """The story, in which a kind that has no part in it gets a project of its own name."""
    told = {kinds[0] for kinds in _STORY.values()}
    return _STORY | {kind.value.replace("_", "-"): (kind,) for kind in ProviderKind if kind not in told}


def _simulated(project: str, kind: ProviderKind, place: int, urls: Mapping[str, str]) -> Link:
    """A connection to the simulator, with a credential of the form that its kind takes."""
    recommended = (facts.id for facts in load_catalogue() if facts.provider is kind and facts.recommended)
    mount = stand_in(kind)
    secret = mount.secret_of(f"{project}-{secrets.token_hex(8)}")
    return Link(
        role=Role.FALLBACK if place else Role.PRIMARY,
        provider=kind,
        model="simulated-model" if kind_of(kind).free_models else next(recommended),
        secret=SecretStr(secret),
        base_url=urls[mount.name],
    )


def _outage(simulator: RemoteSimulator, project: str, link: Link) -> Outage:
    key = fingerprint(link.secret.get_secret_value()) if link.secret else None
    rule = FaultRule(kind=Injection.STATUS, status=503, key=key)
    return Outage(
        project=project,
        provider=link.provider,
        begin=lambda: _ignore(simulator.add_fault(rule)),
        end=simulator.clear_faults,
    )


def _ignore(_value: object) -> None:
    return None


@contextmanager
def on_live_provider(environ: Mapping[str, str]) -> Iterator[Scene]:
    """All projects on one real provider, with the key that was found.

    Raises:
        CommandError: no variable holds a key of a provider.
    """
    usable = {name: kind.provider for kind in KINDS.values() for name in kind.key_variables}
    found = next(((name, kind) for name, kind in usable.items() if environ.get(name, "").strip()), None)
    if found is None:
        raise CommandError(
            f"--live needs a key of yours in one of {', '.join(usable)}; without it, plain `byom demo` is simulated",
            code=ExitCode.USAGE,
        )
    name, kind = found
    facts = next(facts for facts in load_catalogue() if facts.provider is kind and facts.recommended)
    link = Link(role=Role.PRIMARY, provider=kind, model=facts.id, secret=SecretStr(environ[name].strip()))
    yield Scene(
        name="live",
        honesty=f"Live: real calls to {kind.value} {facts.id}, paid for with the key in {name}. No outage is staged.",
        chains=dict.fromkeys(_PROJECTS, (link,)),
        jobs=6,
        call_timeout=90,
    )


@contextmanager
def on_local_model() -> Iterator[Scene]:
    """All projects on a small real model on this machine.

    Raises:
        CommandError: the extra is not installed.
    """
    try:
        model = LocalModel()
    except LocalModelUnavailable as error:
        raise CommandError(str(error), code=ExitCode.USAGE) from error
    with model as server:
        link = Link(
            role=Role.PRIMARY,
            provider=ProviderKind.OPENAI_COMPATIBLE,
            model=server.model,
            base_url=server.base_url,
            # It answers one request at a time; the others wait here, where no call times out.
            max_concurrency=1,
        )
        yield Scene(
            name="local-model",
            honesty=f"Real, but tiny: {server.model} runs on this machine, without a network. It takes minutes, and "
            "most of what it writes is made up; the checks leave that out, so expect jobs without memories.",
            chains=dict.fromkeys(_PROJECTS, (link,)),
            jobs=3,
            short=True,
            expected=frozenset({FailureCode.OUTPUT_UNUSABLE, FailureCode.OUTPUT_TRUNCATED}),
            call_timeout=600,
        )
