"""What Flower does by itself once it runs: it begins to count, and reads past days before somebody asks."""

from datetime import timedelta
from typing import Any

import redis

from workers.monitoring.process import read_ahead


class Pool:
    """A book and a collector whose broker is away at first."""

    def __init__(self, *, away: int, missing: list[int]) -> None:
        self.away = away
        self.missing = missing
        self.begun = 0
        self.waits = 0

    def begin(self) -> None:
        if self.away:
            self.away -= 1
            raise redis.ConnectionError
        self.begun += 1

    def read_ahead(self, length: timedelta, *, patience: float) -> int:
        assert length == timedelta(days=30)
        assert patience < 1
        return self.missing.pop(0)

    def wait(self, _seconds: float) -> bool:
        self.waits += 1
        return self.waits > 10


def run(pool: Pool) -> Pool:
    stand_in: Any = pool
    read_ahead([stand_in], stand_in, pool.wait)
    return pool


def test_it_counts_from_the_start_once_and_reads_until_nothing_is_missing() -> None:
    pool = run(Pool(away=0, missing=[20, 9, 0, 5]))

    assert (pool.begun, pool.waits, pool.missing) == (1, 3, [5])


def test_a_broker_that_is_away_is_asked_again() -> None:
    pool = run(Pool(away=3, missing=[0]))

    assert (pool.begun, pool.waits) == (1, 4)


def test_it_ends_with_the_process_whatever_is_missing() -> None:
    pool = run(Pool(away=0, missing=[7] * 50))

    assert (pool.begun, pool.waits) == (1, 11)


def test_it_goes_on_until_all_books_are_read() -> None:
    usage, failures = Pool(away=0, missing=[3, 0, 0, 0]), Pool(away=0, missing=[1, 2, 0, 9])
    books: Any = [usage, failures]
    collector: Any = usage

    read_ahead(books, collector, usage.wait)

    assert (usage.missing, failures.missing) == ([0], [9])
