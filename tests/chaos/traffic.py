"""The jobs of a run, and the producer that enqueues them, some of them again and again."""

import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery

from config.settings import Settings
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK
from tests.chaos.keys import TEXT
from tests.chaos.stage import CHAINS
from workers.enqueue.producer import Producer

#: Episodes of the longest jobs.
MOST_EPISODES: Final = 3
#: Seconds before the producer tries again what the broker did not take.
_AGAIN: Final = 0.3
#: Share of jobs that are enqueued a second time, and of those that come through the entry for foreign producers.
_REPEATED: Final = 0.06
_FOREIGN: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One job, as a pipeline thinks of it."""

    number: int
    payload: dict[str, Any]
    #: Its id, where the pipeline chose one, as a foreign producer does.
    id: str | None
    #: Whether it is enqueued twice.
    repeated: bool

    @property
    def project(self) -> str:
        """Whose it is."""
        return str(self.payload["project"])


def wanted_jobs(seed: int, count: int, *, prefix: str = "") -> Iterator[Wanted]:
    """The jobs of a run: of all projects, of one episode or several, with and without labels."""
    dice = random.Random(f"{seed} jobs")  # noqa: S311 - a test's dice
    for number in range(count):
        payload: dict[str, Any] = {
            "project": dice.choices(list(CHAINS), weights=[4, 3, 3, 3, 1, 2, 3, 3, 2, 3])[0],
            "episodes": [
                {"id": f"e{place}", "content": f"In {2000 + number % 26} Ada moved to Lisbon. {TEXT} {number} {place}"}
                for place in range(dice.choice([1, 1, 1, 1, MOST_EPISODES]))
            ],
            "labels": {"team": dice.choice(["search", "ads"])} if dice.random() < 0.5 else {},
        }
        if dice.random() < 0.2:
            payload["priority"] = "backfill"
        chosen = str(uuid.UUID(int=dice.getrandbits(128), version=4)) if dice.random() < _FOREIGN else None
        # What carries neither an id of its own nor a key could not be told from a second job when it is sent again.
        if chosen is None or dice.random() < 0.5:
            payload["idempotency_key"] = f"{prefix}{seed}-{number}"
        yield Wanted(number=number, payload=payload, id=chosen, repeated=dice.random() < _REPEATED)


@dataclass(slots=True)
class Traffic:
    """Enqueues jobs in a thread of its own, no more ahead of the workers than `window`."""

    settings: Settings
    jobs: Sequence[Wanted]
    #: How many jobs have ended so far.
    ended: Callable[[], int]
    window: int = 200
    #: Number of a job → all ids under which it was enqueued.
    ids: dict[int, set[str]] = field(default_factory=dict)
    #: Times that something was enqueued again although it was known to be enqueued.
    repeats: int = 0
    #: Times that enqueueing failed and was tried again.
    refused: int = 0
    error: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Enqueue nothing more, and wait for the end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    @property
    def is_done(self) -> bool:
        """Whether everything is enqueued."""
        return self._thread is not None and not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with Producer.from_settings(self.settings) as producer, self._foreign() as foreign:
                self._enqueue_all(producer, foreign)
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            self.error = error

    def _foreign(self) -> Celery:
        """A pipeline that knows the contract and nothing else."""
        return Celery(
            broker=self.settings.redis_url,
            set_as_current=False,
            broker_connection_timeout=2,
            broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2},
        )

    def _enqueue_all(self, producer: Producer, foreign: Celery) -> None:
        again: deque[tuple[int, Wanted]] = deque()
        for position, job in enumerate(self.jobs):
            while len(self.ids) - self.ended() >= self.window and not self._stop.wait(0.05):
                pass
            self._enqueue(job, producer, foreign)
            if job.repeated:
                again.append((position + 1 + job.number % 60, job))
            while again and again[0][0] <= position:
                self._repeat(again.popleft()[1], producer, foreign)
            if self._stop.is_set():
                return
        for _, job in again:
            self._repeat(job, producer, foreign)

    def _repeat(self, job: Wanted, producer: Producer, foreign: Celery) -> None:
        self.repeats += 1
        self._enqueue(job, producer, foreign)

    def _enqueue(self, job: Wanted, producer: Producer, foreign: Celery) -> None:
        """Enqueue a job, however often it takes."""
        while not self._stop.is_set():
            try:
                if job.id is None:
                    name = producer.enqueue(job.payload).id
                else:
                    foreign.send_task(
                        EXTRACT_TASK,
                        args=[job.payload],
                        queue=ENTRY_QUEUE,
                        task_id=job.id,
                        argsrepr="(…)",
                        kwargsrepr="{}",
                        retry=False,
                    )
                    name = job.id
            except Exception:  # noqa: BLE001 - the broker is away; a pipeline would try again, whatever it was
                self.refused += 1
                self._stop.wait(_AGAIN)
                continue
            self.ids.setdefault(job.number, set()).add(name)
            return
