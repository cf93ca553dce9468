"""Which jobs make a batch, and when. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Seconds that a vendor has for a batch, and then some: later than that its items are worked live.
GIVEN_UP_AFTER: Final = 26 * 3_600.0
#: The longest time between two looks at a batch, in seconds, and how much longer each is than the one before.
_LONGEST_LOOK: Final = 300.0
_LOOK_GROWTH: Final = 1.5
#: The same between two tries after trouble.
_FIRST_RETRY: Final = 5.0
_LONGEST_RETRY: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things wait, in seconds."""

    #: For other jobs to share a batch, from the first on.
    gather: float
    #: Until the first look at a batch; later ones come after longer and longer times.
    look: float
    #: For a vendor that does not take or show a batch, until its jobs are worked live.
    patience: float
    #: For one request to a vendor.
    timeout: float


def is_due(number: int, *, waited: float, gather: float, most: int) -> bool:
    """Whether jobs that wait are to be sent.

    Args:
        number: how many wait.
        waited: seconds that the first of them has waited.
        gather: seconds that it waits for others.
        most: jobs of which at least one batch is full.
    """
    return number > 0 and (waited >= gather or number >= most)


class Room:
    """The room of one batch. Jobs are not divided: one that is larger than a batch should be is a batch of its own."""

    def __init__(self, *, most_items: int, most_bytes: int) -> None:
        """Calls of one batch, and bytes of all of them."""
        self._items, self._bytes = most_items, most_bytes
        self._empty = True

    def take(self, sizes: Sequence[int]) -> bool:
        """Take room for a job, by the bytes of each of its calls; False if there is not enough."""
        items, total = self._items - len(sizes), self._bytes - sum(sizes)
        if not self._empty and (items < 0 or total < 0):
            return False
        self._items, self._bytes, self._empty = items, total, False
        return True


def next_look(looks: int, terms: Terms) -> float:
    """Seconds until the next look at a batch that was looked at so often."""
    return min(terms.look * _LOOK_GROWTH ** min(looks, 50), max(_LONGEST_LOOK, terms.look))


def next_try(tries: int, *, asked: float | None) -> float:
    """Seconds until the next try after trouble.

    Args:
        tries: how many there were.
        asked: what the vendor asked to wait.
    """
    return max(asked or 0.0, min(_FIRST_RETRY * 2.0 ** min(tries, 10), _LONGEST_RETRY))
