"""Judging levels as a whole: every connection, every chain, and the projects that inherit from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from config.catalogue import Catalogue
from config.connections.chain import EffectiveConnection, account_connections, has_primary, project_connections
from config.connections.checks import check_chain, check_connection, connection_warnings, profile_warnings
from config.connections.documents import connection_documents
from config.connections.paths import Level
from config.connections.profiles import read_project
from config.errors import ConfigError, StoreError
from config.store import ParameterStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was found."""

    #: Why the configuration must not be saved; one sentence each.
    problems: list[str] = field(default_factory=list)
    #: What works, but not as one may expect.
    warnings: list[str] = field(default_factory=list)
    #: The connections that the levels set themselves, as they are seen there.
    links: list[tuple[Level, EffectiveConnection]] = field(default_factory=list)


def level_connections(store: ParameterStore, level: Level) -> list[EffectiveConnection]:
    """The connections of an account, or of a project with what it inherits; there need not be a primary.

    Raises:
        ConfigError: as `effective_chain`, but for `NoConnection`.
    """
    return project_connections(store, level.name) if level.kind == "project" else account_connections(store, level.name)


def review(store: ParameterStore, levels: Iterable[Level], *, catalogue: Catalogue, at: datetime) -> Review:
    """Judge every connection that levels set, and how the connections of each level fit together.

    Args:
        store: mostly a draft.
        levels: what to judge. What a project merely inherits is judged with its account.
        catalogue: the verified models.
        at: when it is saved; prices change.

    Raises:
        StoreError: the store cannot be read.
    """
    found = Review()
    for level in levels:
        try:
            chain = level_connections(store, level)
            own = connection_documents(store, level.path)
        except StoreError:
            raise
        except ConfigError as error:
            found.problems.append(str(error))
            continue
        links = [link for link in chain if link.connection.name in own]
        found.problems.extend(_problems(level, chain, links, catalogue=catalogue, at=at))
        found.warnings.extend(_warnings(store, level, chain, links, catalogue=catalogue))
        found.links.extend((level, link) for link in links)
    return found


def _problems(
    level: Level,
    chain: list[EffectiveConnection],
    links: list[EffectiveConnection],
    *,
    catalogue: Catalogue,
    at: datetime,
) -> Iterator[str]:
    for link in links:
        subject = f"connection '{link.connection.name}' of {level}"
        try:
            check_connection(link.connection, subject=subject, catalogue=catalogue, at=at)
        except ConfigError as error:
            yield str(error)
    try:
        check_chain(chain, subject=str(level), at=at)
    except ConfigError as error:
        yield str(error)


def _warnings(
    store: ParameterStore,
    level: Level,
    chain: list[EffectiveConnection],
    links: list[EffectiveConnection],
    *,
    catalogue: Catalogue,
) -> Iterator[str]:
    for link in links:
        for warning in connection_warnings(link.connection, catalogue=catalogue):
            yield f"connection '{link.connection.name}' of {level}: {warning}"
    if level.kind == "account":
        return
    profile = read_project(store, level.name)
    if profile is not None:
        for warning in profile_warnings(profile):
            yield f"{level}: {warning}"
    if not has_primary(chain):
        yield f"{level} has no primary connection; jobs are refused until it has one"
