"""From what is known of a worker to whether it lives and whether it takes jobs. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict

from workers.health.pulse import Part, Pulse, Reach, Stage

_RESTART: Final = (
    "restart it: its jobs run again elsewhere after BYOM_VISIBILITY_TIMEOUT; its log may say what it last did"
)

#: What it means that a part does not move, and what to do.
_STUCK: Final = {
    Part.CONSUMER: ("Celery's consumer, which fetches jobs, has not turned", _RESTART),
    Part.LOOP: ("the event loop, in which calls are made, has not turned", _RESTART),
    Part.WATCH: (
        "the process was not given time to run",
        f"if it was stopped, let it go on (SIGCONT); else {_RESTART}",
    ),
}
_UNREACHED: Final = {
    Reach.BROKER: "see that the server at BYOM_BROKER_URL runs and lets this worker in; then it goes on by itself",
    Reach.STORE: "see that the store at BYOM_STORE_URL can be read from here; then it goes on by itself",
}
_NOT_CONSUMING: Final = {
    Stage.STARTING: ("it has not taken any jobs yet", "wait; if it stays so, its log says what it waits for"),
    Stage.RECONNECTING: ("it has lost the broker and tries to reach it again", _UNREACHED[Reach.BROKER]),
    Stage.DRAINING: ("it was told to end and takes nothing new", "nothing: it ends by itself"),
}


class Problem(BaseModel):
    """Something is wrong with a worker."""

    model_config = ConfigDict(frozen=True)

    what: str
    mend: str


class Health(BaseModel):
    """How a worker is."""

    model_config = ConfigDict(frozen=True)

    #: It moves: a restart would mend nothing. True of one that is busy, that waits for the broker, or that drains.
    live: bool
    #: It takes jobs and can carry them out.
    ready: bool
    stage: Stage
    problems: tuple[Problem, ...]


def judge(pulse: Pulse, *, now: float) -> Health:
    """How a worker is.

    Args:
        pulse: what is known of it.
        now: seconds of the same clock.
    """
    stuck = list(_stuck(pulse, now))
    unready = list(_unready(pulse))
    return Health(live=not stuck, ready=not stuck and not unready, stage=pulse.stage, problems=(*stuck, *unready))


def _stuck(pulse: Pulse, now: float) -> Iterator[Problem]:
    patience = pulse.terms.patience
    still = {part: now - beat for part, beat in _beats(pulse, now).items() if now - beat > patience}
    if Part.WATCH in still:
        # The others stand still with it.
        still = {Part.WATCH: still[Part.WATCH]}
    elif pulse.stage is Stage.DRAINING:
        # The consumer stands still while the worker waits for its last jobs.
        still.pop(Part.CONSUMER, None)
    for part, seconds in still.items():
        what, mend = _STUCK[part]
        yield Problem(what=f"{what} for {seconds:.0f} s", mend=mend)
    drained = now - pulse.since
    if pulse.stage is Stage.DRAINING and drained > pulse.terms.drain + patience:
        yield Problem(
            what=f"it was told to end {drained:.0f} s ago and had {pulse.terms.drain:.0f} s (BYOM_SHUTDOWN_TIMEOUT)",
            mend=_RESTART,
        )


def _beats(pulse: Pulse, now: float) -> Mapping[Part, float]:
    """When each part last moved, or had no chance to.

    A broker that keeps its connections and answers nobody holds the consumer up, in one command after the other; the
    event loop, which waits for nobody, has found that out.
    """
    is_away = pulse.reached.get(Reach.BROKER) is not None
    held_up_until = now if is_away else pulse.turned.get(Reach.BROKER, 0.0)
    beats = dict(pulse.beats)
    if Part.CONSUMER in beats:
        beats[Part.CONSUMER] = max(beats[Part.CONSUMER], held_up_until)
    return beats


def _unready(pulse: Pulse) -> Iterator[Problem]:
    if pulse.stage in _NOT_CONSUMING:
        what, mend = _NOT_CONSUMING[pulse.stage]
        yield Problem(what=what, mend=mend)
    for reach, mend in _UNREACHED.items():
        if reach not in pulse.reached:
            yield Problem(what=f"it has not reached the {reach} yet", mend=mend)
        elif (trouble := pulse.reached[reach]) is not None:
            yield Problem(what=f"it cannot reach the {reach}: {trouble}", mend=mend)
