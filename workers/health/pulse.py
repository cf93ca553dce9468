"""What a worker process knows of itself: when each part of it was last seen to move, and what it can reach."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from config.settings import Settings


class Part(StrEnum):
    """What has to keep moving, each by itself."""

    #: Celery's loop, which fetches jobs; or its tries to reach the broker again.
    CONSUMER = "consumer"
    #: The event loop, in which calls are made.
    LOOP = "loop"
    #: The thread that watches the two: it stands still only with the process.
    WATCH = "watch"


class Stage(StrEnum):
    """What the worker is doing as a whole."""

    STARTING = "starting"
    #: It takes jobs.
    CONSUMING = "consuming"
    #: It has lost the broker, and tries to reach it again.
    RECONNECTING = "reconnecting"
    #: It was told to end: it takes nothing new.
    DRAINING = "draining"


class Reach(StrEnum):
    """What the worker cannot work without."""

    BROKER = "broker"
    STORE = "store"


class Terms(BaseModel):
    """How long what may take, in seconds."""

    model_config = ConfigDict(frozen=True)

    #: Without a sign of life of a part.
    patience: float
    #: From SIGTERM to the end.
    drain: float

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Those that the settings of a worker say."""
        return cls(patience=settings.health_patience, drain=settings.shutdown_timeout)


class Pulse(BaseModel):
    """All that is known at one moment; times are of the machine's monotonic clock, the same for all its processes."""

    model_config = ConfigDict(frozen=True)

    pid: int
    terms: Terms
    stage: Stage
    #: Since when.
    since: float
    #: When each part last moved; one that has not begun is absent.
    beats: Mapping[Part, float]
    #: What was reached at the last try, and what was not: then why, in a word.
    reached: Mapping[Reach, str | None]
    #: When it was last found that something can be reached again, or cannot any more.
    turned: Mapping[Reach, float]


class Heart:
    """Takes signs of life from all threads of a process."""

    def __init__(self, terms: Terms, *, now: Callable[[], float] = time.monotonic) -> None:
        """`now` tells seconds that never run backwards."""
        self._terms, self._now = terms, now
        self._stage, self._since = Stage.STARTING, now()
        self._beats = {Part.CONSUMER: now()}
        self._reached: dict[Reach, str | None] = {}
        self._turned: dict[Reach, float] = {}
        self._lock = threading.Lock()

    def beat(self, part: Part, *_: Any) -> None:
        """A part has moved."""
        with self._lock:
            self._beats[part] = self._now()

    def enter(self, stage: Stage) -> None:
        """The worker does something else from now on; draining is the last that it does."""
        with self._lock:
            if stage is not self._stage and self._stage is not Stage.DRAINING:
                self._stage, self._since = stage, self._now()

    def note(self, reach: Reach, trouble: str | None = None) -> None:
        """Something was reached, or was not: then why, in a word that quotes nothing."""
        with self._lock:
            if reach not in self._reached or (self._reached[reach] is None) is not (trouble is None):
                self._turned[reach] = self._now()
            self._reached[reach] = trouble

    def pulse(self) -> Pulse:
        """All that is known now."""
        with self._lock:
            return Pulse(
                pid=os.getpid(),
                terms=self._terms,
                stage=self._stage,
                since=self._since,
                beats=dict(self._beats),
                reached=dict(self._reached),
                turned=dict(self._turned),
            )
