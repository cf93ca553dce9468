"""Dead letters as metrics show them."""

from typing import Protocol

from workers.dead.shelf import Census


class LetterBoard(Protocol):
    """Counts dead letters; `workers.dead.shelf.Shelf` does."""

    def census(self) -> Census:
        """How many there are.

        Raises:
            redis.RedisError: they cannot be counted.
        """
