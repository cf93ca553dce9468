"""What a wire module must offer, so that the simulator can speak one more vendor's format.

A new vendor is one new module with one class that satisfies `Wire`, and one `Mount` in `wire/__init__.py` that puts it
below a prefix. The module translates and nothing more: it holds no state and knows nothing of meters, books or faults.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tasks.contract import ProviderKind
from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Answer, Incoming, Outgoing, Question, Receipt, Rejection
from workers.embedded.simulator.meter import Reading


class Operation(StrEnum):
    """What a route is for."""

    #: Run a model; metered and booked with usage.
    ANSWER = "answer"
    #: Anything that needs a key but no model run: listings, counts.
    LOOKUP = "lookup"
    #: Batches: the wire is a `BatchWire` too.
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path of a wire format."""

    method: str
    #: Below the mount's prefix; `{name}` captures one or more characters up to the next literal one.
    path: str
    operation: Operation


class Wire(Protocol):
    """One vendor's wire format."""

    @property
    def routes(self) -> Sequence[Route]:
        """Paths that this wire format answers."""

    @property
    def needs_key(self) -> bool:
        """Whether requests without a key are turned away."""

    def credential(self, incoming: Incoming) -> str | None:
        """The key that a request carries."""

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks.

        Raises:
            Rejection: with `BAD_REQUEST` or `MODEL_NOT_FOUND`, as the vendor would.
        """

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """An answer as the vendor sends it."""

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """The answer to a `LOOKUP` route.

        Raises:
            Rejection: as `parse`.
        """

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:
        """An error as the vendor sends it."""

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:
        """Headers of every response: ids, processing time, and the limits once key and model are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A wire format below a prefix; several may share one."""

    #: The kind of provider that it stands in for; None for what is only called beside one.
    provider: ProviderKind | None
    #: Names the vendor in the books.
    name: str
    #: Such as `/openai`; routes stand below it.
    prefix: str
    #: What a client's base URL has after the server's URL, such as `/openai/v1`.
    base: str
    #: Owner → a credential of the form that the vendor's have; different owners have different accounts.
    secret_of: Callable[[str], str]
    wire: Wire


def one_word(owner: str) -> str:
    """A key as most vendors have them."""
    return f"sk-simulated-{hashlib.sha256(owner.encode()).hexdigest()[:32]}"
