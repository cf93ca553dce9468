"""Builds the keeper of a worker process from its parts."""

from collections.abc import Mapping
from typing import Final

from config.catalogue import Catalogue
from config.settings import Settings
from tasks.contract import ProviderKind
from workers.admission import Budgets
from workers.alerts import Alerts
from workers.clock import Clock
from workers.configuration.directory import Directory
from workers.economy.access import Access, Asks
from workers.economy.base import Pool
from workers.economy.gathering import Gatherer
from workers.economy.keeper import Keeper
from workers.economy.planning import Terms
from workers.economy.reading import Reader
from workers.economy.sending import Sender
from workers.economy.undoing import Undoer
from workers.jobs import JobStore
from workers.providers.batches import BatchProvider

#: Seconds for one request that sends a batch or fetches its results.
_TIMEOUT: Final = 120.0
#: Seconds between two rounds of a keeper, at most.
_TICK: Final = 1.0


def terms_of(settings: Settings) -> Terms:
    """How long things wait, by the settings of this process."""
    return Terms(
        gather=settings.economy_gather, look=settings.economy_look, patience=settings.max_wait, timeout=_TIMEOUT
    )


def build_keeper(
    *,
    pool: Pool,
    directory: Directory,
    catalogue: Catalogue,
    providers: Mapping[ProviderKind, BatchProvider],
    transport: Asks,
    jobs: JobStore,
    budgets: Budgets,
    alerts: Alerts,
    clock: Clock,
    terms: Terms,
) -> Keeper:
    """A keeper; nothing is asked yet."""
    access = Access(
        directory=directory, catalogue=catalogue, providers=providers, transport=transport, timeout=terms.timeout
    )
    undoer = Undoer(pool=pool, jobs=jobs, budgets=budgets, directory=directory)
    return Keeper(
        pool=pool,
        gatherer=Gatherer(pool=pool, access=access, jobs=jobs, terms=terms),
        sender=Sender(pool=pool, access=access, budgets=budgets, undoer=undoer, clock=clock, terms=terms),
        reader=Reader(pool=pool, access=access, jobs=jobs, undoer=undoer, alerts=alerts, clock=clock, terms=terms),
        undoer=undoer,
        tick=min(_TICK, max(terms.gather, 0.05), terms.look),
    )
