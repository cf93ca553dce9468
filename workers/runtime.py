"""The one composition root: builds everything a worker process runs on, from its settings.

A worker process has Celery's threads and one event loop in a thread of its own, where all I/O to providers happens.
Jobs are worked on there ahead of their tasks (`workers.task.ahead`); a task that runs in a thread hands its job to the
loop and waits.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import redis
from celery import Celery, current_app

from config.catalogue import load_catalogue
from config.connections import effective_chain
from config.settings import Settings
from config.store import open_store
from tasks.contract import ExtractionJob, Failure, FailureCode, JobRefused, VerificationRequest
from workers.admission import RedisAdmission
from workers.alerts import Alert, AlertKind
from workers.backfill.driving import Clients, Stopped, slice_of
from workers.backfill.inbox import Inbox
from workers.broker.results import Results
from workers.configuration.changes import Change, Follower
from workers.configuration.directory import Directory
from workers.dead.sealing import Sealing
from workers.dead.shelf import Limits as LetterLimits
from workers.dead.writer import Writer
from workers.economy.opening import build_keeper, terms_of
from workers.economy.redis import RedisPool
from workers.engine.address import patience_of
from workers.engine.attempts import Attempts
from workers.engine.delivery import Delivery
from workers.engine.engine import Engine, Outcome
from workers.engine.leases import Leases
from workers.engine.routing import Route
from workers.engine.telling import Telling
from workers.enqueue.intake import Accepted, Duplicate, Intake
from workers.health.reaching import give_signs
from workers.health.wiring import own_heart
from workers.jobs import Ending, RedisJobs
from workers.monitoring.metrics.series import Count
from workers.monitoring.metrics.serve import counting, measure_signature, measured, measured_poster
from workers.notify import CallbackCheck, Subscriptions, build_poster, open_events
from workers.providers.registry import build_batches, build_providers
from workers.providers.transport import build_transport
from workers.redis.patient import patient_client
from workers.redis.pool_clock import synchronised
from workers.signing import Noted, open_guard
from workers.solitary.cells import Cells
from workers.solitary.trial import Trials
from workers.task.ahead import Ahead
from workers.tracing import open_tracing
from workers.verification import Verification
from workers.verification.service import Verifier

_T = TypeVar("_T")

#: Seconds that a job stays claimed after its worker stops renewing; well below the broker's visibility timeout, so
#: that a redelivered job finds the lease of its dead worker gone.
_LEASE = 15.0

#: Seconds that the lease of a call outlives the longest call.
_LEASE_MARGIN = 10.0

#: Seconds before a job goes back to its queue because Redis or the store is away: no busy loop, no long wait.
_PAUSE = 1.0


class Runtime:
    """What one worker process runs on. Used from Celery's threads; closed once, at the end."""

    def __init__(self, settings: Settings, *, looks_after_batches: bool = True, count: Count | None = None) -> None:
        """A process in which a job is tried alone looks after nothing else, lest the job be blamed for it.

        It serves no metrics either: `count` takes what it measures.
        """
        self._settings = settings
        self._closing = threading.Event()
        self.tracing = open_tracing(settings, service="byom-worker")
        self._in_hand: set[Future[Outcome]] = set()
        #: What runs on the loop as long as it does; tasks that nobody refers to may vanish.
        self._forever: list[asyncio.Task[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="byom-loop", daemon=True)
        self._thread.start()
        self._store = open_store(settings.store_url, key=settings.store_key)
        self._sync_client = redis.Redis.from_url(settings.redis_url, max_connections=settings.concurrency + 10)
        self.clock = synchronised(settings.redis_url, wait=self._closing.wait)
        self._intake = Intake(
            chain=lambda project: effective_chain(self._store, project),
            client=self._sync_client,
            key_ttl=settings.idempotency_ttl,
            patience=patience_of(settings),
            callback_problem=CallbackCheck(
                self._store,
                clock=self.clock,
                ttl=settings.config_cache_ttl,
                allow_private=settings.allow_private_endpoints,
            ).problem,
        )
        self.guard = open_guard(settings, self._store, clock=self.clock, noted=self._note_signature)
        self._run(self._open(settings, looks_after_batches=looks_after_batches, count=count)).result()

    async def _open(self, settings: Settings, *, looks_after_batches: bool, count: Count | None) -> None:
        clock = self.clock
        self._client = patient_client(settings.redis_url)
        stored = RedisJobs(
            self._client,
            state_ttl=settings.job_state_ttl,
            records_kept=settings.usage_records,
            sums_ttl=settings.usage_sums_ttl * 86_400,
            clock=clock,
        )
        directory = Directory(self._store, clock=clock, ttl=settings.config_cache_ttl)
        subscriptions = Subscriptions(self._store, clock=clock, ttl=settings.config_cache_ttl)
        self._poster = measured_poster(settings, build_poster(settings), clock=clock, count=count)
        self._events, deliverer = open_events(
            settings, self._client, subscriptions=subscriptions, poster=self._poster, clock=clock
        )
        self._run_forever(deliverer.run_forever())
        events = self._events
        limiter = RedisAdmission(
            self._client, alerts=events, lease_seconds=settings.call_timeout + _LEASE_MARGIN, clock=clock
        )
        jobs, admission = measured(settings, stored, limiter, count=count)
        letters = Writer(
            self._client,
            jobs=jobs,
            directory=directory,
            sealing=Sealing.of(settings.dead_letter_key),
            limits=LetterLimits(settings.dead_letter_ttl, settings.dead_letters_kept, settings.dead_letters_bytes),
            alerts=events,
            clock=clock,
        )
        self._telling = Telling(jobs=jobs, letters=letters, events=events, inbox=Inbox(self._client))
        leases = Leases(jobs, seconds=_LEASE, clock=clock)
        self._transport = build_transport(settings)
        providers = build_providers(fetch=self._transport.fetch, clock=clock, token_url=settings.google_token_url)
        attempts = Attempts(
            directory=directory,
            providers=providers,
            transport=self._transport,
            admission=admission,
            jobs=jobs,
            alerts=events,
            clock=clock,
            tracing=self.tracing,
            max_calls=settings.max_calls,
            call_timeout=settings.call_timeout,
            flex_timeout=settings.flex_timeout,
            patience=settings.patience,
        )
        self._engine = Engine(
            directory=directory,
            catalogue=load_catalogue(),
            jobs=jobs,
            attempts=attempts,
            leases=leases,
            patience=patience_of(settings),
            ended=self._telling.ended,
        )
        keeper = build_keeper(
            pool=RedisPool(self._client),
            directory=directory,
            catalogue=load_catalogue(),
            providers=build_batches(clock=clock),
            transport=self._transport,
            jobs=jobs,
            budgets=limiter,
            alerts=events,
            clock=clock,
            terms=terms_of(settings),
        )
        if looks_after_batches:
            self._run_forever(keeper.run_forever())
            self._run_forever(give_signs(own_heart(), settings, self._store, clock))
        self._cells = Cells(modules=lambda: sorted(current_app.conf.include), counted=counting(settings))
        self._trials = Trials(self._cells, self._sync_client, max_crashes=settings.max_crashes)
        self._verifier = Verifier(
            self._store,
            providers=providers,
            transport=self._transport,
            catalogue=load_catalogue(),
            clock=clock,
            timeout=settings.call_timeout,
        )

        here = settings.backend_url == settings.redis_url
        self._result_client = self._client if here else patient_client(settings.backend_url)
        self.ahead = Ahead(
            self._loop,
            work=self._engine.run,
            results=Results(self._result_client),
            tracing=self.tracing,
            clock=clock,
            # A guard reads the store, which must not stop the loop.
            is_for_a_thread=lambda delivery: self.guard.looks_at_all or self._trials.are_due(delivery),
        )
        self._run_forever(leases.renew_forever())
        self._run_forever(directory.expire_forever())
        self._run_forever(self._follower(directory, subscriptions).follow_forever())

    def _follower(self, directory: Directory, subscriptions: Subscriptions) -> Follower:
        """Hears of changes of the configuration, and drops what was read of it before."""

        def changed(change: Change) -> None:
            directory.drop(change.scope, trust=change.trust)
            subscriptions.drop(change.scope)
            self.guard.drop(change.scope)

        def unknown() -> None:
            directory.drop_everything()
            subscriptions.drop_everything()
            self.guard.drop()

        return Follower.at(self._settings.redis_url, changed=changed, unknown=unknown)

    def _run_forever(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._forever.append(asyncio.create_task(coroutine))

    def _note_signature(self, noted: Noted) -> None:
        """Count what came of a signature, and tell of one that was refused; nobody waits for that."""
        measure_signature(self._settings, noted)
        if noted.message:
            alert = Alert(kind=AlertKind.SIGNATURE_REFUSED, at=self.clock.now(), message=noted.as_alert)
            self._run(self._events.raise_once(alert, about=noted.producer or ""))

    def accept(self, job: ExtractionJob, job_id: str) -> Accepted | Duplicate:
        """Accept a job that a foreign producer published.

        Raises:
            JobRefused: its project cannot run it.
        """
        try:
            return self._intake.accept(job, job_id=job_id)
        except JobRefused as error:
            # A callback that is refused itself is not posted.
            heard = job.model_copy(update={"callback_url": None}) if error.details.get("problems") else job
            failure = Failure.model_validate({"message": error.message, **error.details})
            self._run(self._telling.failed(job, job_id, failure, heard=heard)).result()
            raise

    def failed(self, job: ExtractionJob, job_id: str, failure: Failure) -> None:
        """Tell of the end of a job that failed outside of the engine.

        Raises:
            redis.RedisError: it cannot be told.
        """
        self._run(self._telling.failed(job, job_id, failure)).result()

    def attempt(self, job: ExtractionJob, job_id: str, route: Route, delivery: Delivery) -> Outcome:
        """Take a job through the connection of its route; blocks the calling thread, never the loop.

        One of which workers may have died is taken through it in a process of its own, and ends if that dies.

        Raises:
            concurrent.futures.CancelledError: the worker stops and has waited long enough.
            NoChild: there is no process to run it in.
        """
        if not self._trials.are_due(delivery):
            return self.attempt_here(job, job_id, route, delivery)
        outcome = self._trials.attempt(job, job_id, route, delivery, trace=self.tracing.current())
        if outcome is None:
            outcome = self._run(self._quarantine(job, job_id, route, delivery.crashes + 1)).result()
        return outcome

    async def _quarantine(self, job: ExtractionJob, job_id: str, route: Route, crashes: int) -> Outcome:
        outcome = await self._engine.quarantine(job, job_id=job_id, route=route, crashes=crashes)
        failure = outcome.failure if isinstance(outcome, Ending) else None
        if failure is not None and failure.code == FailureCode.QUARANTINED:
            about = failure.model_dump(include={"message", "project", "provider", "connection", "model", "code"})
            await self._events.raise_alert(
                Alert.model_validate({**about, "kind": AlertKind.JOB_QUARANTINED, "at": self.clock.now()})
            )
        return outcome

    def attempt_here(self, job: ExtractionJob, job_id: str, route: Route, delivery: Delivery) -> Outcome:
        """As `attempt`, in this process whatever happens to it.

        Raises:
            concurrent.futures.CancelledError: the worker stops and has waited long enough.
        """
        future = self._run(self._engine.run(job, job_id=job_id, route=route, delivery=delivery))
        self._in_hand.add(future)
        try:
            return future.result()
        finally:
            self._in_hand.discard(future)

    def verify(self, request: VerificationRequest) -> list[Verification]:
        """Call the connections of a project once each; blocks the calling thread, never the loop.

        Raises:
            ConfigError: there is no such project or connection, or the store cannot be read.
        """
        verification = self._verifier.verify(
            request.project, connection=request.connection, version=request.credential_version
        )
        return self._run(verification).result()

    def drive_backfill(self, name: str, app: Celery) -> Stopped:
        """Drive a backfill for some seconds; blocks the calling thread.

        Raises:
            Held: another process drives it.
            BackfillError: it cannot go on.
            redis.RedisError: the broker is away.
        """
        clients = Clients(
            settings=self._settings, app=app, store=self._store, client=self._sync_client, clock=self.clock
        )
        return slice_of(name, clients, seconds=self._settings.backfill_slice, wait=self._closing.wait)

    def abandon(self) -> None:
        """Give up all jobs in hand; each `attempt` that waits for one raises `CancelledError`."""
        self._cells.stop()
        self._loop.call_soon_threadsafe(self.ahead.abandon)
        for future in list(self._in_hand):
            future.cancel()

    def pause(self) -> None:
        """Wait a moment, or until the runtime closes."""
        self._closing.wait(_PAUSE)

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> "Future[_T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Close clients and end the loop; jobs still in hand are cancelled and will be delivered again."""
        self._closing.set()
        self._cells.stop()
        self._run(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._sync_client.close()
        self.tracing.close()

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._transport.aclose()
        await self._poster.aclose()
        await self._client.aclose()
        await self._result_client.aclose()
        await self._loop.shutdown_default_executor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
