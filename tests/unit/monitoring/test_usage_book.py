from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.monitoring import combination, hour
from tests.support import START, ManualClock
from workers.monitoring.usage.book import DAY, HOUR, Slice, UsageBook, hour_of
from workers.monitoring.usage.sums import Combination, MemoryHours, Sums, added_up

ACME = combination()


class Kept:
    """A book over some hours, and what it asks for."""

    def __init__(self, *, hours: int) -> None:
        self.clock = ManualClock()
        self.source = MemoryHours({hour(back): {ACME: Sums(attempts=1, cost=10)} for back in range(hours)})
        self.book = UsageBook(self.source, clock=self.clock, monotonic=self.clock.monotonic)

    def attempts(self, length: timedelta) -> int:
        return sum(part.table[ACME].attempts for part in self.book.span(length).slices if ACME in part.table)

    def asked(self) -> list[datetime]:
        asked, self.source.asked = self.source.asked, []
        return asked


def test_a_day_is_its_last_24_hours_oldest_first_and_empty_hours_are_there() -> None:
    kept = Kept(hours=3)

    slices = kept.book.span(DAY).slices

    assert [part.start for part in slices] == [hour(back) for back in reversed(range(24))]
    assert [bool(part.table) for part in slices] == [False] * 21 + [True] * 3


def test_closed_hours_are_read_once_and_open_ones_again() -> None:
    kept = Kept(hours=24)
    kept.attempts(DAY)
    assert sorted(kept.asked()) == [hour(back) for back in reversed(range(24))]

    kept.clock.seconds += 10
    kept.source.hours[hour(0)] = {ACME: Sums(attempts=5)}

    assert kept.attempts(DAY) == 23 + 5
    assert kept.asked() == [hour(2), hour(1), hour(0)]


def test_what_may_still_change_is_not_read_anew_within_two_seconds() -> None:
    kept = Kept(hours=1)
    kept.attempts(DAY)
    kept.asked()

    kept.clock.seconds += 1.9
    kept.attempts(DAY)

    assert kept.asked() == []


def test_an_hour_is_read_a_last_time_when_it_has_closed() -> None:
    kept = Kept(hours=1)
    kept.attempts(DAY)
    # A call that began in the hour is settled after its end.
    kept.clock.seconds += 3_700
    kept.source.hours[hour(0)] = {ACME: Sums(attempts=2)}
    assert kept.attempts(DAY) == 2

    kept.clock.seconds += 3 * 3_600

    assert kept.attempts(DAY) == 2


def test_longer_spans_are_whole_days_and_each_hour_counts_once() -> None:
    kept = Kept(hours=24 * 10)

    week = kept.book.span(7 * DAY)

    assert [part.start.hour for part in week.slices] == [0] * 7
    assert [part.length for part in week.slices] == [DAY] * 7
    # Six whole days, and today up to and with the hour that has begun.
    assert kept.attempts(7 * DAY) == 6 * 24 + START.hour + 1


def test_old_days_are_read_once_whatever_is_asked_for_in_between() -> None:
    kept = Kept(hours=24 * 30)
    kept.attempts(7 * DAY)
    first = kept.asked()
    kept.attempts(DAY)
    kept.clock.seconds += 10

    assert kept.attempts(7 * DAY) == 6 * 24 + START.hour + 1
    assert len(first) == len(set(first))
    assert kept.asked() == [hour(2), hour(1), hour(0)]


def test_hours_are_dropped_once_they_are_part_of_a_day() -> None:
    kept = Kept(hours=24 * 5)
    kept.attempts(7 * DAY)
    kept.clock.seconds += 3 * 86_400
    before = kept.attempts(14 * DAY)
    kept.clock.seconds += 10

    assert kept.attempts(14 * DAY) == before == 24 * 5
    assert all(part.length == DAY for part in kept.book.known().slices if part.start < START)


def test_with_little_patience_the_newest_days_come_first_and_what_is_missing_is_said() -> None:
    kept = Kept(hours=24 * 30)

    class Slow(MemoryHours[Combination]):
        def read(self, hours: Sequence[datetime]) -> list[Mapping[Combination, Sums]]:
            kept.clock.seconds += 0.1
            return super().read(hours)

    book = UsageBook(Slow(kept.source.hours), clock=kept.clock, monotonic=kept.clock.monotonic)

    first = book.span(30 * DAY, patience=0.35)
    rounds = [first.missing]
    while rounds[-1]:
        rounds.append(book.span(30 * DAY, patience=0.35).missing)

    assert first.slices[-1].start == hour_of(START).replace(hour=0)
    assert 0 < first.missing < 30
    assert rounds == sorted(rounds, reverse=True)
    assert len(set(rounds)) == len(rounds)


def test_what_is_known_is_told_without_reading() -> None:
    kept = Kept(hours=24 * 30)
    assert list(kept.book.known().slices) == []
    kept.attempts(7 * DAY)
    kept.asked()

    starts = [part.start for part in kept.book.known().slices]

    assert starts == sorted(starts)
    assert starts[0] == datetime(2026, 11, 17, tzinfo=UTC)
    assert kept.asked() == []


@pytest.mark.parametrize("length", [HOUR, DAY, 2 * DAY, 7 * DAY])
def test_an_empty_ledger_is_no_trouble(length: timedelta) -> None:
    assert Kept(hours=0).attempts(length) == 0


def test_whatever_is_kept_sums_are_those_of_the_source_at_any_time() -> None:
    kept = Kept(hours=0)
    lengths = [HOUR, DAY, 2 * DAY, 7 * DAY]
    for step in range(60):
        now = hour_of(kept.clock.now())
        # Calls are settled up to two hours after the hour in which they began.
        for back in range(3):
            at = now - back * HOUR
            there = kept.source.hours.get(at, {}).get(ACME, Sums())
            kept.source.hours[at] = {ACME: Sums(attempts=there.attempts + step % 7 + back, cost=there.cost + step)}
        for length in lengths[step % 2 :: 1 + step % 3]:
            span = kept.book.span(length)
            first = span.slices[0].start
            expected = [sums[ACME] for at, sums in kept.source.hours.items() if first <= at <= now]
            assert span.together[ACME].attempts == sum(sums.attempts for sums in expected)
            assert span.together == added_up(part.table for part in span.slices)
        seen = [
            part.start + number * HOUR for part in kept.book.known().slices for number in range(part.length // HOUR)
        ]
        assert len(seen) == len(set(seen))
        kept.clock.seconds += 4_777


def test_what_follows_from_a_slice_is_worked_out_once_while_it_is_kept() -> None:
    kept = Kept(hours=24 * 5)
    worked_out: list[datetime] = []

    def follow(part: Slice[Combination]) -> int:
        worked_out.append(part.start)
        return part.table[ACME].attempts

    for _ in range(3):
        assert sum(part.once(follow) for part in kept.book.span(DAY).slices) == 24
    assert len(worked_out) == 24
    kept.clock.seconds += 10
    for part in kept.book.span(DAY).slices:
        part.once(follow)

    # What may still change is read again, and all that follows from it is worked out anew.
    assert worked_out[24:] == [hour(2), hour(1), hour(0)]


def test_reading_ahead_says_what_is_left_and_leaves_nothing_to_read() -> None:
    kept = Kept(hours=24 * 30)

    assert kept.book.read_ahead(30 * DAY, patience=1) == 0
    kept.asked()

    assert kept.attempts(30 * DAY) == 29 * 24 + START.hour + 1
    assert kept.asked() == []
