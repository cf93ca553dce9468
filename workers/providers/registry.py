"""All providers. Nothing lists them: a member of `ProviderKind` speaks as the module of its own name says."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from tasks.contract import ProviderKind
from workers.clock import Clock, SystemClock
from workers.ledger.reconcile.report import Report
from workers.providers.base import Fault, FaultKind, WireRequest
from workers.providers.batches import BatchProvider
from workers.providers.dialect import Dialect, Means
from workers.providers.faults import RuledProvider
from workers.providers.google_account import TOKEN_URL
from workers.providers.google_tokens import Fetch


@cache
def dialect_of(kind: ProviderKind) -> Dialect:
    """How a kind of provider speaks: the `DIALECT` of `workers.providers.KIND`.

    Raises:
        TypeError: the module declares none.
    """
    dialect = import_module(f"workers.providers.{kind.value}").DIALECT
    if not isinstance(dialect, Dialect):
        raise TypeError(f"workers.providers.{kind.value} must declare DIALECT, a Dialect")
    return dialect


async def unconnected(request: WireRequest, *, name: str, timeout: float) -> Fault:  # noqa: ARG001, ASYNC109 - the signature is `Fetch`'s
    """Stands in for a transport where providers are only looked at: in lists, docs and checks."""
    return Fault(kind=FaultKind.CONNECT, message=f"Nothing was sent to {name}: this process makes no calls.")


def build_providers(
    *, fetch: Fetch = unconnected, clock: Clock | None = None, token_url: str = TOKEN_URL
) -> dict[ProviderKind, RuledProvider]:
    """One provider per kind.

    Args:
        fetch: makes the requests for access tokens; `Transport.fetch` in a worker.
        clock: for signatures, tokens and daily quotas.
        token_url: Google's token endpoint; another only for tests and the simulator.
    """
    means = Means(fetch=fetch, clock=clock or SystemClock(), token_url=token_url)
    return {kind: dialect_of(kind).provider(means) for kind in ProviderKind}


def build_batches(*, clock: Clock | None = None) -> dict[ProviderKind, BatchProvider]:
    """The kinds that take many calls in one request, without files, at a lower price."""
    means = Means(fetch=unconnected, clock=clock or SystemClock(), token_url=TOKEN_URL)
    builders = {kind: dialect_of(kind).batches for kind in ProviderKind}
    return {kind: build(means) for kind, build in builders.items() if build is not None}


def report_readers() -> Mapping[str, Callable[[Sequence[dict[str, Any]]], Report]]:
    """Provider → how what its API tells of usage is read, for those whose API does."""
    readers = {kind.value: dialect_of(kind).report for kind in ProviderKind}
    return {kind: read for kind, read in readers.items() if read is not None}
