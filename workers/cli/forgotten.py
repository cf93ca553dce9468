"""What commands that remove projects do about what the broker keeps under their names, and what they say of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import redis

from config.connections import EffectiveConnection, project_connections
from config.connections.paths import Level
from config.errors import ConfigError, StoreError
from config.settings import Settings
from config.store import ParameterStore
from workers.cli.console import err, out
from workers.cli.levels import is_new
from workers.cli.pauses import resume_command
from workers.configuration.admin import Admin
from workers.configuration.forgetting import Forgotten, forget
from workers.redis.impatient import connect


@contextmanager
def forgetting(admin: Admin, settings: Settings, levels: Sequence[Level]) -> Iterator[dict[str, Forgotten | None]]:
    """Forget the projects among some levels of which the block leaves nothing.

    Yields:
        Name → what was forgotten, filled as the block ends; None where the broker does not answer, which is said.

    Raises:
        StoreError: the store cannot be read.
    """
    there = [level for level in levels if level.kind == "project" and not is_new(admin.store, level)]
    own = {level.name: _resolved(admin.store, level) for level in there}
    found: dict[str, Forgotten | None] = {}
    yield found
    for level in there:
        if is_new(admin.store, level):
            found[level.name] = _forget(settings, level.name, own[level.name]) if admin.announced else None
            if found[level.name] is None:
                err.print(
                    f"What the broker keeps under the name of {level} is still there, and would meet a later one: when "
                    f"it answers, end a pause with `{resume_command(level.name)}`; idempotency keys run out by "
                    "themselves (BYOM_IDEMPOTENCY_TTL)."
                )


def say_forgotten(found: Sequence[Forgotten | None]) -> None:
    """Say what was forgotten, for people; nothing where there was nothing."""
    for forgotten in found:
        counts = asdict(forgotten).items() if forgotten else ()
        if said := ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts if count):
            out.print(f"Forgotten with it: {said}.")


def _resolved(store: ParameterStore, level: Level) -> list[EffectiveConnection]:
    """The connections of a project, as far as they can be resolved."""
    try:
        return project_connections(store, level.name)
    except StoreError:
        raise
    except ConfigError:
        return []


def _forget(settings: Settings, project: str, own: Sequence[EffectiveConnection]) -> Forgotten | None:
    """None where the broker does not answer."""
    try:
        with connect(settings.redis_url) as client:
            return forget(client, project, own=own)
    except redis.RedisError:
        return None
