"""Verifying what is stored: the connections of a project, with the active or another version of their credentials."""

import asyncio
from collections.abc import Mapping, Sequence

from config.catalogue import Catalogue
from config.connections import EffectiveConnection, effective_chain
from config.credentials import Credential, read_credential, read_version
from config.errors import CredentialMissing, NoConnection
from config.store import ParameterStore
from tasks.contract import ProviderKind
from workers.clock import Clock
from workers.providers.base import Provider
from workers.providers.transport import Transport
from workers.verification.report import CheckName, Problem, Verification
from workers.verification.verify import unverifiable, verify

#: A connection that can be called, or the report of one that cannot.
Candidate = tuple[EffectiveConnection, Credential | None] | Verification


def candidates(
    store: ParameterStore, project: str, *, connection: str | None = None, version: int | None = None
) -> list[Candidate]:
    """The connections of a project in the order in which they are tried. Blocks.

    Args:
        store: where they are kept.
        project: whose.
        connection: only the one of this name.
        version: of the credential, active or not; absent means the active one.

    Raises:
        ConfigError: the project has no usable chain, or no connection of that name.
    """
    chain = effective_chain(store, project)
    links = [link for link in chain if connection in {None, link.connection.name}]
    if not links:
        names = ", ".join(link.connection.name for link in chain)
        raise NoConnection(f"project '{project}' has no connection '{connection}'; it has: {names}")
    return [_candidate(store, link, version) for link in links]


def _candidate(store: ParameterStore, link: EffectiveConnection, version: int | None) -> Candidate:
    try:
        return link, read_credential(store, link) if version is None else read_version(store, link, version)
    except CredentialMissing as error:
        return unverifiable(link, CheckName.CREDENTIAL, Problem.MISSING_KEY, str(error))


class Verifier:
    """Verifies stored connections from a process that has a loop."""

    def __init__(
        self,
        store: ParameterStore,
        *,
        providers: Mapping[ProviderKind, Provider],
        transport: Transport,
        catalogue: Catalogue,
        clock: Clock,
        timeout: float,
    ) -> None:
        """`timeout` bounds each request, in seconds; the rest is as for `verify`."""
        self._store = store
        self._providers = providers
        self._transport = transport
        self._catalogue = catalogue
        self._clock = clock
        self._timeout = timeout

    async def verify(
        self, project: str, *, connection: str | None = None, version: int | None = None
    ) -> list[Verification]:
        """Call each connection once, side by side; arguments as for `candidates`.

        Raises:
            ConfigError: as `candidates`.
        """
        # Never cached: what was saved a moment ago is what is to be tried.
        found = await asyncio.to_thread(
            lambda: candidates(self._store, project, connection=connection, version=version)
        )
        return await asyncio.gather(*map(self._report, found))

    async def _report(self, candidate: Candidate) -> Verification:
        if isinstance(candidate, Verification):
            return candidate
        effective, credential = candidate
        return await verify(
            effective,
            credential,
            providers=self._providers,
            transport=self._transport,
            catalogue=self._catalogue,
            clock=self._clock,
            timeout=self._timeout,
        )


def as_document(project: str, reports: Sequence[Verification]) -> dict[str, object]:
    """What a verification came to, as JSON for other programs."""
    return {
        "version": 1,
        "project": project,
        "ok": all(report.ok for report in reports),
        "reports": [report.as_json() for report in reports],
    }
