"""The way to a vendor's batches: the connection and the credential as they are now, and one request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from config.catalogue import Catalogue, ModelFacts
from config.connections import EffectiveConnection
from config.credentials import Credential
from config.errors import InvalidConnection
from tasks.contract import ProviderKind, Tier
from workers.configuration.directory import Directory
from workers.economy.keys import Line
from workers.extraction import PROMPT_VERSION
from workers.providers.base import Call, Fault, Prompt, WireRequest, WireResponse
from workers.providers.batches import BatchProvider

#: Bytes of a response: the results of a whole batch.
_LARGEST = 96 * 1024 * 1024

_NO_PROMPT = Prompt(system="", user="", schema_name="", schema={}, version=PROMPT_VERSION, max_output_tokens=1)


class Asks(Protocol):
    """Sends requests; `workers.providers.transport.Transport` does."""

    async def ask(
        self,
        request: WireRequest,
        *,
        name: str,
        timeout: float,  # noqa: ASYNC109 - bounds the I/O
        most: int | None = None,
    ) -> WireResponse | Fault:
        """Make one HTTP request; what goes wrong is a fault, never an exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A line's connection as it is now."""

    effective: EffectiveConnection
    model: ModelFacts
    credential: Credential | None = field(repr=False)
    provider: BatchProvider

    @property
    def call(self) -> Call:
        """What requests that are no calls of the model are made with."""
        return Call(
            prompt=_NO_PROMPT,
            connection=self.effective.connection,
            credential=self.credential,
            model=self.model,
            tier=Tier.BATCH,
        )


class NoBatches(Exception):
    """The connection's model has no batches, or no more."""


class Access:
    """Reaches vendors for a keeper."""

    def __init__(
        self,
        *,
        directory: Directory,
        catalogue: Catalogue,
        providers: Mapping[ProviderKind, BatchProvider],
        transport: Asks,
        timeout: float,
    ) -> None:
        """`timeout` in seconds, for one request."""
        self._directory = directory
        self._catalogue = catalogue
        self._providers = providers
        self._transport = transport
        self._timeout = timeout

    async def to(self, line: Line, *, fresh: bool = False) -> Reached:
        """The connection of a line.

        Args:
            line: the project and its connection.
            fresh: read the credential anew; after the vendor refused the one that was known.

        Raises:
            NoBatches: its model has none.
            ConfigError: it is not configured any more, or its credential cannot be used.
            StoreError: the configuration cannot be read.
        """
        chain = await self._directory.chain(line.project)
        effective = next((one for one in chain if one.connection.name == line.connection), None)
        if effective is None:
            raise InvalidConnection(f"connection '{line.connection}' of project '{line.project}' is gone")
        connection = effective.connection
        model = self._catalogue.find(connection.provider, connection.model, unverified=connection.unverified)
        provider = self._providers.get(connection.provider)
        if provider is None or Tier.BATCH not in model.economy:
            raise NoBatches(connection.model)
        credential = await self._directory.credential(effective, fresh=fresh)
        return Reached(effective=effective, model=model, credential=credential, provider=provider)

    async def ask(self, reached: Reached, request: WireRequest | Fault) -> WireResponse | Fault:
        """Send one request."""
        if isinstance(request, Fault):
            return request
        name = reached.effective.connection.provider.value
        return await self._transport.ask(request, name=name, timeout=self._timeout, most=_LARGEST)
