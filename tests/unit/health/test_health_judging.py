"""From signs of life to a verdict."""

import pytest

from tests.support import ManualClock
from workers.health import Health, Heart, Part, Reach, Stage, Terms, judge

PATIENCE, DRAIN = 30.0, 60.0


class Watched:
    """A heart, and time that passes only when a test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heart = Heart(Terms(patience=PATIENCE, drain=DRAIN), now=self.clock.monotonic)

    def works(self) -> None:
        """It has begun to take jobs, and all is well."""
        self.heart.enter(Stage.CONSUMING)
        for reach in Reach:
            self.heart.note(reach)
        self.beat(*Part)

    def beat(self, *parts: Part) -> None:
        for part in parts:
            self.heart.beat(part)

    def pass_by(self, seconds: float, *, moving: tuple[Part, ...] = ()) -> None:
        """Time passes; some parts move all the while."""
        self.clock.seconds += seconds
        self.beat(*moving)

    @property
    def health(self) -> Health:
        return judge(self.heart.pulse(), now=self.clock.monotonic())

    @property
    def words(self) -> str:
        return " ".join(problem.what for problem in self.health.problems)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def well(health: Health) -> tuple[bool, bool]:
    return health.live, health.ready


def test_a_worker_that_turns_and_reaches_everything_is_live_and_ready(watched: Watched) -> None:
    watched.works()

    assert well(watched.health) == (True, True)
    assert watched.health.problems == ()


@pytest.mark.parametrize("stuck", Part)
def test_a_part_that_stands_still_for_longer_than_the_patience_is_a_stuck_worker(watched: Watched, stuck: Part) -> None:
    watched.works()
    others = tuple(part for part in Part if part is not stuck)
    watched.pass_by(PATIENCE, moving=others)
    assert well(watched.health) == (True, True)

    watched.pass_by(1, moving=others)

    assert well(watched.health) == (False, False)
    (problem,) = watched.health.problems
    assert "31 s" in problem.what
    assert "restart it" in problem.mend
    watched.beat(stuck)
    assert well(watched.health) == (True, True)


def test_of_a_process_that_stands_still_nothing_else_is_said(watched: Watched) -> None:
    watched.works()

    watched.pass_by(PATIENCE + 1)

    assert well(watched.health) == (False, False)
    (problem,) = watched.health.problems
    assert "SIGCONT" in problem.mend


def test_a_worker_is_live_before_it_takes_jobs_and_not_ready(watched: Watched) -> None:
    assert well(watched.health) == (True, False)
    assert watched.health.stage is Stage.STARTING
    # No event loop has begun: that is not held against it, but its consumer must try.
    watched.pass_by(PATIENCE + 1)
    assert well(watched.health) == (False, False)


def test_a_draining_worker_takes_no_jobs_and_is_not_stuck_although_its_consumer_stands(watched: Watched) -> None:
    watched.works()
    watched.heart.enter(Stage.DRAINING)
    watched.heart.enter(Stage.RECONNECTING)

    watched.pass_by(DRAIN, moving=(Part.LOOP, Part.WATCH))

    assert watched.health.stage is Stage.DRAINING
    assert well(watched.health) == (True, False)


def test_a_worker_that_does_not_end_long_after_it_should_have_is_stuck(watched: Watched) -> None:
    watched.works()
    watched.heart.enter(Stage.DRAINING)

    watched.pass_by(DRAIN + PATIENCE + 1, moving=(Part.LOOP, Part.WATCH))

    assert well(watched.health) == (False, False)
    assert "91 s ago and had 60 s" in watched.words


def test_a_worker_that_has_lost_the_broker_and_tries_again_is_live(watched: Watched) -> None:
    watched.works()
    watched.heart.enter(Stage.RECONNECTING)
    watched.heart.note(Reach.BROKER, "ConnectionError")

    watched.pass_by(3_600, moving=tuple(Part))

    assert well(watched.health) == (True, False)
    assert "tries to reach it again" in watched.words
    assert "cannot reach the broker: ConnectionError" in watched.words


def test_a_consumer_that_a_silent_broker_holds_up_is_given_its_patience_anew_when_the_broker_answers(
    watched: Watched,
) -> None:
    watched.works()
    others = (Part.LOOP, Part.WATCH)
    watched.pass_by(PATIENCE / 2, moving=others)
    watched.heart.note(Reach.BROKER, "TimeoutError")
    watched.pass_by(3_600, moving=others)
    watched.heart.note(Reach.BROKER, "ConnectionError")
    assert well(watched.health) == (True, False)

    watched.heart.note(Reach.BROKER)
    watched.pass_by(PATIENCE, moving=others)
    watched.heart.note(Reach.BROKER)
    assert well(watched.health) == (True, True)
    watched.pass_by(1, moving=others)

    assert well(watched.health) == (False, False)
    assert "consumer" in watched.words


@pytest.mark.parametrize("reach", Reach)
def test_what_cannot_be_reached_makes_it_unready_until_it_can(watched: Watched, reach: Reach) -> None:
    watched.works()
    watched.heart.note(reach, "TimeoutError")

    assert well(watched.health) == (True, False)
    assert [problem.what for problem in watched.health.problems] == [f"it cannot reach the {reach}: TimeoutError"]
    assert f"BYOM_{reach.value.upper()}_URL" in watched.health.problems[0].mend
    watched.heart.note(reach)
    assert well(watched.health) == (True, True)


def test_draining_lasts_from_its_beginning_however_often_it_is_said(watched: Watched) -> None:
    watched.heart.enter(Stage.DRAINING)
    watched.pass_by(10)
    watched.heart.enter(Stage.DRAINING)
    watched.heart.enter(Stage.CONSUMING)

    assert (watched.heart.pulse().stage, watched.heart.pulse().since) == (Stage.DRAINING, 0.0)
