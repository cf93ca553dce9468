"""How a provider lists its models, for those that do so to whoever has a key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Where the list is, and how it is told in pages."""

    #: Where the path of a call ends and that of the list begins, and how the latter goes on.
    mark: str
    path: str
    #: Whether what it lacks cannot be called: Azure lists what could be deployed, gateways serve more than they list.
    certain: bool
    #: The field that holds the list.
    holds: str = "data"
    #: The parameter that takes the cursor of a further page; empty where there are no pages.
    page: str = ""
    #: Page → cursor of the next; None at the end.
    cursor: Callable[[Mapping[str, Any]], object] = field(default=lambda _: None)
