"""Which connection a job is tried on, and which comes next. Pure."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from config.connections import EffectiveConnection
from config.errors import InvalidConnection
from tasks.contract import FailureCode, ProviderKind, Role


class Hop(BaseModel):
    """One connection that was tried and given up."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    connection: str
    provider: ProviderKind
    model: str
    code: FailureCode


class Route(BaseModel):
    """Where a job goes now and where it has been; travels with the message from worker to worker."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    connection: str
    provider: ProviderKind
    model: str
    role: Role
    #: Connections given up so far, oldest first.
    history: Annotated[tuple[Hop, ...], Field(max_length=64)] = ()
    #: How often the job was replayed.
    replays: int = 0

    @property
    def hop(self) -> int:
        """Place in the chain of attempts, from 1."""
        return len(self.history) + 1

    @classmethod
    def to(cls, effective: EffectiveConnection, *, history: tuple[Hop, ...] = (), replays: int = 0) -> Self:
        """The route onto one connection."""
        connection = effective.connection
        return cls(
            connection=connection.name,
            provider=connection.provider,
            model=connection.model,
            role=connection.role,
            history=history,
            replays=replays,
        )

    def given_up(self, code: FailureCode) -> tuple[Hop, ...]:
        """The history with this route's connection added."""
        hop = Hop(connection=self.connection, provider=self.provider, model=self.model, code=code)
        return (*self.history, hop)


def first_route(chain: Sequence[EffectiveConnection]) -> Route:
    """The route onto a project's primary connection; the chain is never empty."""
    return Route.to(chain[0])


def is_last(chain: Sequence[EffectiveConnection], route: Route) -> bool:
    """Whether there is no connection of the chain left to try after that of a route."""
    tried = {route.connection, *(hop.connection for hop in route.history)}
    return all(effective.connection.name in tried for effective in chain)


def next_route(chain: Sequence[EffectiveConnection], route: Route, code: FailureCode) -> Route | None:
    """The route onto the first connection of the chain that was not tried yet, or None."""
    history = route.given_up(code)
    tried = {hop.connection for hop in history}
    for effective in chain:
        if effective.connection.name not in tried:
            return Route.to(effective, history=history, replays=route.replays)
    return None


def connection_of(chain: Sequence[EffectiveConnection], route: Route) -> EffectiveConnection:
    """The connection of a route, as it is configured now; its model may have changed since the job was enqueued.

    Raises:
        InvalidConnection: it is not configured any more.
    """
    for effective in chain:
        if effective.connection.name == route.connection:
            if effective.connection.provider is not route.provider:
                break
            return effective
    raise InvalidConnection(
        f"connection '{route.connection}' ({route.provider.value}) is no longer configured for the project; "
        "the job goes on to the connections that are"
    )
