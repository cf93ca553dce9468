"""How one kind of provider speaks; every field, since none has a default that would fit the next vendor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workers.clock import Clock
from workers.ledger.reconcile.report import Report
from workers.providers.batches import BatchProvider
from workers.providers.faults import RuledProvider
from workers.providers.google_tokens import Fetch
from workers.providers.listing import Listing
from workers.providers.rate_limits import LimitHeaders


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What providers may be built with."""

    #: Makes requests for access tokens.
    fetch: Fetch
    #: For signatures, tokens and daily quotas.
    clock: Clock
    #: Google's token endpoint.
    token_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of provider speaks. What is true of it, however it is called, stands in `config.kinds`."""

    #: Makes what turns a call into a request, and the response into an answer.
    provider: Callable[[Means], RuledProvider]
    #: Makes its batches, which take many calls in one request, without files, at a lower price; None where it has none.
    batches: Callable[[Means], BatchProvider] | None
    #: Headers that tell its limits; `NO_HEADERS` where none do.
    limit_headers: LimitHeaders
    #: Whether its 429 speaks of capacity that all customers share, unless it names a wait.
    shares_capacity: bool
    #: How it lists its models; None where it keeps no list for whoever has a key.
    listing: Listing | None
    #: Reads the time buckets that its API tells usage and costs in; raises KeyError, TypeError or ValueError where they
    #: are something else. None: only tables are read, whose columns people name.
    report: Callable[[Sequence[dict[str, Any]]], Report] | None
