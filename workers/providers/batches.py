"""What a provider must be able to do that takes many calls in one request and answers them within a day.

Like a `Provider` it is a translator: it makes requests and reads responses, and does no I/O. Each single call and its
answer are those of the provider itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from workers.providers.base import Call, Fault, Reply, WireRequest, WireResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One call of a batch."""

    #: `[A-Za-z0-9_-]{1,64}`, unique in the batch.
    id: str
    call: Call


class Undone(StrEnum):
    """Why the vendor did not answer a call of a batch; none of these is billed."""

    EXPIRED = "expired"
    CANCELLED = "cancelled"
    #: The batch ended without a word of it.
    LOST = "lost"


#: What came of one call of a batch.
Outcome = Reply | Fault | Undone


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """What a vendor says of a batch."""

    id: str
    ended: bool
    created_at: datetime | None = None
    #: As we called it; None for vendors that take no name.
    name: str | None = None
    #: Calls in it, where the vendor counts them.
    size: int | None = None
    #: What became of calls of which its results say nothing.
    missing: Undone = Undone.LOST


class BatchProvider(Protocol):
    """The batches of one kind of API.

    Each `access` is a call with the connection and the credential to be used; of its prompt nothing is sent.
    """

    #: Calls of one batch, and bytes of the request that sends it.
    most_items: int
    most_bytes: int

    def item_size(self, call: Call) -> int:
        """Bytes that a call adds to the request, as good as exactly."""

    def submit(self, items: Sequence[BatchItem], *, name: str) -> WireRequest | Fault:
        """The request that sends a batch; a fault if the key cannot be sent."""

    def look(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that asks how far it is."""

    def read(self, access: Call, response: WireResponse) -> BatchView | Fault:
        """What came of sending it, or of asking."""

    def listing(self, access: Call) -> WireRequest | Fault:
        """The request for the vendor's latest batches."""

    def read_listing(self, access: Call, response: WireResponse) -> list[BatchView] | Fault:
        """The vendor's latest batches."""

    def results(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request for the results of one that has ended."""

    def read_results(self, access: Call, response: WireResponse, ids: Sequence[str]) -> Mapping[str, Outcome] | Fault:
        """What came of each call; those that the results say nothing of are left out.

        Args:
            access: see above.
            response: to `results`.
            ids: of the batch's items, in the order in which they were sent.
        """

    def cancel(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that ends it early; what is done by then is done."""

    def delete(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that makes the vendor forget it, prompts and answers."""
