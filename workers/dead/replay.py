"""Sending dead letters on their way again, under the ids and keys that they had.

Of each letter, in this order: take it in hand; hold its idempotency key; open the job in the job store, where all that
it has paid for stays; forget its old result; publish it through its project's present chain; note that it is under way.
A crash between any two of these leaves a letter that can be replayed again, and no second run: whoever delivers a job
that is open runs it once, however many messages of it there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
from celery import Celery

from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import ExtractionJob, FailureCode, JobRefused, Priority, parse_job
from workers.clock import Clock, SystemClock
from workers.dead.letter import Letter
from workers.dead.sealing import Sealed, Sealing
from workers.dead.shelf import Grip, Shelf
from workers.engine.address import patience_of
from workers.enqueue.intake import Accepted, Duplicate, Intake
from workers.jobs import Reopening, reopen_now
from workers.notify.callbacks import CallbackCheck
from workers.signing import pool_signer
from workers.task.messages import attempt_signature

#: Letters that are published together.
BATCH = 100

#: Seconds for which a batch is in hand: then whoever took it is taken for dead.
_IN_HAND = 60.0


class Fate(StrEnum):
    """What became of the wish to replay a letter."""

    #: It is on its way.
    REPLAYED = "replayed"
    #: It was on its way already, or somebody else replays it now.
    UNDER_WAY = "under_way"
    #: Its job has succeeded, or has ended anew, or it was discarded meanwhile.
    OVER = "over"
    #: It stays: its project cannot take it, or its contents cannot be read; the message says why.
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one letter."""

    letter: Letter
    fate: Fate
    #: Why it stays.
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A letter that can be published."""

    letter: Letter
    job: ExtractionJob
    accepted: Accepted


class Replayer:
    """Replays letters, batch by batch."""

    def __init__(
        self, *, app: Celery, client: redis.Redis, store: ParameterStore, settings: Settings, clock: Clock | None = None
    ) -> None:
        """Take what replaying needs.

        Args:
            app: publishes, and forgets results.
            client: of the broker.
            store: the configuration.
            settings: of the pool.
            clock: says until when letters are in hand.
        """
        self._app = app
        self._client = client
        self._store = store
        self._clock = clock or SystemClock()
        self._shelf = Shelf(client)
        self._sealing = Sealing.of(settings.dead_letter_key)
        self._signer = pool_signer(settings, store, clock=self._clock)
        self._max_crashes = settings.max_crashes
        self._ttl = max(settings.dead_letter_ttl, settings.job_state_ttl)
        #: The connections of the projects of one batch, so that the store is not read for each job.
        self._chains: dict[str, list[EffectiveConnection]] = {}
        self._intake = Intake(
            chain=self._chain,
            client=client,
            key_ttl=settings.idempotency_ttl,
            patience=patience_of(settings),
            callback_problem=CallbackCheck(
                store,
                clock=self._clock,
                ttl=settings.config_cache_ttl,
                allow_private=settings.allow_private_endpoints,
            ).problem,
        )

    def replay(
        self, letters: Sequence[Letter], *, priority: Priority | None = None, again: bool = False
    ) -> list[Outcome]:
        """Replay a batch; what became of each, in order.

        Args:
            letters: at most `BATCH`.
            priority: how long they may wait; None as before.
            again: also those that were replayed and have not ended: their messages may be lost.

        Raises:
            redis.RedisError: the broker or the result store does not answer; what was not published stays dead.
            kombu.exceptions.OperationalError: likewise.
        """
        self._chains.clear()
        ids = [letter.id for letter in letters]
        grips = self._shelf.claim(ids, now=self._now(), seconds=_IN_HAND, again=again)
        outcomes: dict[str, Outcome] = {}
        ready: list[_Ready] = []
        for letter, grip in zip(letters, grips, strict=True):
            if grip is not Grip.CLAIMED:
                fate = Fate.OVER if grip is Grip.GONE else Fate.UNDER_WAY
                outcomes[letter.id] = Outcome(letter=letter, fate=fate)
                continue
            prepared = self._prepare(letter, priority)
            if isinstance(prepared, Outcome):
                outcomes[letter.id] = prepared
                self._shelf.leave(letter)
            else:
                ready.append(prepared)
        self._publish(ready)
        for one in ready:
            self._shelf.replayed(one.letter, now=self._now())
            outcomes[one.letter.id] = Outcome(letter=one.letter, fate=Fate.REPLAYED)
        return [outcomes[job_id] for job_id in ids]

    def _prepare(self, letter: Letter, priority: Priority | None) -> _Ready | Outcome:
        """Open the job of a letter, unless there is something in the way."""
        try:
            contents = self._shelf.contents(letter, self._sealing)
            if contents is None:
                return Outcome(letter=letter, fate=Fate.OVER)
            job = parse_job(contents.job)
            if priority is not None:
                job = job.model_copy(update={"priority": priority})
            accepted = self._intake.accept(job, job_id=letter.id)
        except (JobRefused, Sealed) as error:
            return Outcome(letter=letter, fate=Fate.LEFT, message=str(error))
        if isinstance(accepted, Duplicate):
            message = (
                f"its idempotency key is held by job {accepted.job_id}, which was enqueued later; discard this one"
            )
            return Outcome(letter=letter, fate=Fate.LEFT, message=message)
        match reopen_now(self._client, letter.id, contents.kept(letter.replays), ttl=self._ttl):
            case Reopening.SUCCEEDED:
                self._shelf.remove([letter.id])
                return Outcome(letter=letter, fate=Fate.OVER)
            case Reopening.ENDED:
                return Outcome(letter=letter, fate=Fate.OVER)
            case Reopening.OPENED | Reopening.OPEN:
                return _Ready(letter=letter, job=job, accepted=accepted)

    def _publish(self, ready: Sequence[_Ready]) -> None:
        for one in ready:
            # Whoever asks for the result waits for the new one.
            self._app.backend.forget(one.letter.id)
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch(BATCH):  # type: ignore[attr-defined]  # new in kombu 5.7
            for one in ready:
                route = one.accepted.route.model_copy(update={"replays": one.letter.replays + 1})
                payload = one.job.model_dump(mode="json", exclude_unset=True)
                signature = attempt_signature(
                    self._app,
                    payload,
                    route,
                    one.accepted.address,
                    job_id=one.letter.id,
                    crashes=self._crashes(one),
                    signed=self._signed(one, payload, replays=route.replays),
                )
                signature.apply_async(producer=producer, task_id=one.letter.id)

    def _signed(self, ready: _Ready, payload: dict[str, Any], *, replays: int) -> dict[str, Any] | None:
        """The pool's own signature: it is the pool that sends the job anew."""
        if self._signer is None:
            return None
        return self._signer.header(payload, job_id=ready.letter.id, replays=replays)

    def _crashes(self, ready: _Ready) -> int:
        """How often workers died of a job; of one that was quarantined no further worker is to die."""
        return self._max_crashes - 1 if ready.letter.about.code == FailureCode.QUARANTINED else 0

    def _chain(self, project: str) -> list[EffectiveConnection]:
        if project not in self._chains:
            self._chains[project] = effective_chain(self._store, project)
        return self._chains[project]

    def _now(self) -> float:
        return self._clock.now().timestamp()
