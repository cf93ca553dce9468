"""A change of the configuration takes effect where jobs are held up: at meters and in lanes.

Workers drop what they have read when they hear of a change. Jobs that wait hear nothing: their meter may go by old
limits or may be held back for a key that is mended now, and their lane looks again only when its wait is over.
"""

from typing import Protocol

import redis

from config.connections import EffectiveConnection, ProjectProfile, read_project
from config.connections.paths import ACCOUNTS, PROJECTS, Level
from config.connections.review import level_connections
from config.errors import ConfigError
from config.store import ParameterStore
from workers.admission.control import Meters
from workers.lanes.control import Lanes, Which


class Effect(Protocol):
    """Makes a change count where jobs are held up."""

    def __call__(self, store: ParameterStore, scope: str, *, trust: bool) -> None:
        """As `put_into_force`; raises `redis.RedisError` when Redis is away."""


def put_into_force(client: redis.Redis, store: ParameterStore, scope: str, *, trust: bool) -> None:
    """Make what is set for a project or account count at once.

    Of an account these are the meters of its own connections. Those of projects that set limits of their own follow
    with their next call: there may be thousands.

    Args:
        client: of the Redis that all workers share.
        store: the configuration as it is now.
        scope: path of the project or account; of anything else, such as all, nothing is known to be held up.
        trust: what kept calls away may be mended: nothing is held back any more, and breakers close.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    level = level_of(scope)
    if level is None:
        return
    links = _links(store, level)
    _at_meters(client, level, links, trust=trust)
    lanes = Lanes(client)
    if level.kind == "project":
        if (weight := _weight(store, level.name)) is not None:
            lanes.weight(level.name, weight)
        lanes.wake(Which(project=level.name))
        return
    for meter in sorted({link.key for link in links}):
        lanes.wake(Which(meter=meter))


def reset_limits(client: redis.Redis, link: EffectiveConnection) -> None:
    """Forget what was learned of a connection's meter and what stands in its way, and let the jobs go that waited.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    Meters(client).reset(link)
    Lanes(client).wake(Which(meter=link.key))


def level_of(scope: str) -> Level | None:
    """The project or account of a path; None when it is that of neither."""
    parent, _, name = scope.rpartition("/")
    if parent == PROJECTS:
        return Level.project(name)
    return Level.account(name) if parent == ACCOUNTS else None


def _at_meters(client: redis.Redis, level: Level, links: list[EffectiveConnection], *, trust: bool) -> None:
    """Declare limits, and lift what was held back on account of this level's own credentials and servers."""
    meters = Meters(client)
    for link in links:
        meters.declare(link)
        # A project does not vouch for what its account's key met.
        if trust and link.credential_is_of(level.path):
            meters.trust(link)


def _links(store: ParameterStore, level: Level) -> list[EffectiveConnection]:
    """The connections of a level; none when they cannot be resolved, for then nothing can be called either."""
    try:
        return level_connections(store, level)
    except ConfigError:
        return []


def _weight(store: ParameterStore, project: str) -> float | None:
    """The share of a project, which is the default's when it is gone; None when nobody can say."""
    try:
        return (read_project(store, project) or ProjectProfile()).weight
    except ConfigError:
        return None
