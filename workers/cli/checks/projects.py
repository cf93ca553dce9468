"""Checks of configuration: the store, and for each project its chain, credentials and models."""

from collections.abc import Iterator
from datetime import date

from pydantic import SecretStr

from config.catalogue import Catalogue
from config.connections import EffectiveConnection, effective_chain, list_projects
from config.credentials import read_credential
from config.errors import ConfigError, StoreError
from config.store import FileStore, MemoryStore, ParameterStore, open_store
from tasks.contract import ProviderKind, Role
from workers.providers.registry import build_providers
from workers.verification.lifecycle import NOTICE_DAYS

from .base import Check, fail, ok, warn


def check_store(url: str, *, key: SecretStr | None = None) -> tuple[ParameterStore | None, Check]:
    """Open the store and read it; None when that fails."""
    try:
        store = open_store(url, key=key)
        projects = list_projects(store)
    except ConfigError as error:
        return None, fail("store", str(error), "mend the store, or set BYOM_STORE_URL to the right one")
    if isinstance(store, MemoryStore):
        found = "in memory: every process has its own, and it is gone when the process ends"
        return store, warn("store", found, "set BYOM_STORE_URL to ssm: or file:PATH")
    if isinstance(store, FileStore):
        where, empty = f"{url}: readable by its owner only", "byom connection add --help"
    else:
        # Parameters of another region or below another prefix are simply not there; nothing tells them from none.
        where = f"{url}: readable"
        empty = "byom connection add --help; or see `byom store info` for the region and prefix in use"
    if not projects:
        return store, warn("store", f"{where}, no projects yet", empty)
    return store, ok("store", f"{where}, {len(projects)} projects")


def check_project(
    store: ParameterStore, project: str, *, catalogue: Catalogue, today: date
) -> tuple[set[ProviderKind], list[Check]]:
    """The providers that a project's jobs go to, and what is wrong with their connections."""
    name = f"project {project}"
    try:
        chain = effective_chain(store, project)
    except ConfigError as error:
        return set(), [fail(name, str(error), f"byom connection add --project {project} …")]
    checks = [check for link in chain for check in _check_link(store, link, catalogue=catalogue, today=today)]
    summary = " → ".join(f"{link.connection.provider.value} {link.connection.model}" for link in chain)
    if all(link.connection.role is Role.PRIMARY for link in chain):
        mend = f"byom connection add --project {project} --role fallback …"
        checks.insert(0, warn(name, f"{summary}: no fallback, so an outage of its provider fails its jobs", mend))
    else:
        checks.insert(0, ok(name, summary))
    return {link.connection.provider for link in chain}, checks


def _check_link(
    store: ParameterStore, link: EffectiveConnection, *, catalogue: Catalogue, today: date
) -> Iterator[Check]:
    connection = link.connection
    name = f"project {link.project}: {connection.name}"
    if connection.provider not in build_providers():
        yield fail(name, f"this version cannot call {connection.provider.value} yet", "choose another provider")
    try:
        read_credential(store, link)
        facts = catalogue.find(connection.provider, connection.model, unverified=connection.unverified)
    except StoreError as error:
        yield fail(name, str(error), "`byom store info` and docs/store.md look closer")
        return
    except ConfigError as error:
        yield fail(name, str(error), "save the connection again with `byom connection add`")
        return
    if facts.ends is not None:
        left = (facts.ends - today).days
        mend = "choose another model; see `byom models`"
        if left < 0:
            yield fail(name, f"{facts.id} was switched off by its vendor on {facts.ends}", mend)
        elif left <= NOTICE_DAYS:
            yield warn(name, f"{facts.id} is switched off by its vendor on {facts.ends}, in {left} days", mend)
