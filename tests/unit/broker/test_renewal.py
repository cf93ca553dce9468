import threading

import redis

from workers.broker.renewal import Renewal


class Renewed:
    """Counts renewals; fails the first times, and holds as much as it is told to."""

    def __init__(self, *, failures: int = 0, in_hand: bool = True) -> None:
        self._failures = failures
        self.in_hand = in_hand
        self.calls = 0
        self.reached = threading.Semaphore(0)

    def __call__(self) -> bool:
        self.calls += 1
        self.reached.release()
        if self.calls <= self._failures:
            raise redis.ConnectionError("gone")
        return self.in_hand

    def wait(self, calls: int) -> None:
        for _ in range(calls):
            assert self.reached.acquire(timeout=5)


def test_it_goes_on_while_redis_cannot_be_reached() -> None:
    renewed = Renewed(failures=2)
    renewal = Renewal(renewed, interval=0.001)

    renewal.start()
    renewed.wait(4)
    renewal.stop()

    assert renewed.calls >= 4


def test_it_goes_on_while_nothing_is_in_hand() -> None:
    renewed = Renewed(in_hand=False)
    renewal = Renewal(renewed, interval=0.001)

    renewal.start()
    renewed.wait(3)
    renewal.stop()


def test_after_the_connection_is_lost_it_ends_with_the_last_job() -> None:
    renewed = Renewed()
    renewal = Renewal(renewed, interval=0.001)
    renewal.start()
    renewed.wait(1)

    renewal.finish()
    renewed.wait(2)
    renewed.in_hand = False

    assert renewal.join(timeout=5)


def test_after_a_stop_it_renews_no_more() -> None:
    renewed = Renewed()
    renewal = Renewal(renewed, interval=0.001)
    renewal.start()
    renewed.wait(1)

    renewal.stop()

    assert renewal.join(timeout=5)
