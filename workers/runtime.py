"""The one composition root: builds everything a worker process runs on, from its settings.

A worker process has Celery's threads and one event loop in a thread of its own, where all I/O to providers happens.
A task hands its job to the loop and waits.
"""

import asyncio
import gc
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import redis
import redis.asyncio
from celery import signals

from config.catalogue import load_catalogue
from config.connections import effective_chain
from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import ExtractionJob, Failure, JobRefused, VerificationRequest
from workers.address import patience_of
from workers.admission import RedisAdmission
from workers.attempts import Attempts
from workers.changes import Change, Follower
from workers.clock import Clock, SystemClock
from workers.delivery import Delivery
from workers.directory import Directory
from workers.economy.opening import build_keeper, terms_of
from workers.economy.redis import RedisPool
from workers.engine import Engine, Outcome
from workers.intake import Accepted, Duplicate, Intake
from workers.jobs import Ending, RedisJobs
from workers.leases import Leases
from workers.monitoring.metrics.serve import measured
from workers.notify import CallbackCheck, Deliverer, Events, Limits, Outbox, Subscriptions, build_poster
from workers.providers.registry import build_batches, build_providers
from workers.providers.transport import build_transport
from workers.routing import Route
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

    def __init__(self, settings: Settings) -> None:
        self._closing = threading.Event()
        self._in_hand: set[Future[Outcome]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="byom-loop", daemon=True)
        self._thread.start()
        self._store = open_store(settings.store_url, key=settings.store_key)
        self._sync_client = redis.Redis.from_url(settings.redis_url, max_connections=settings.concurrency + 10)
        self._intake = Intake(
            chain=lambda project: effective_chain(self._store, project),
            client=self._sync_client,
            key_ttl=settings.idempotency_ttl,
            patience=patience_of(settings),
            callback_problem=CallbackCheck(
                self._store,
                clock=SystemClock(),
                ttl=settings.config_cache_ttl,
                allow_private=settings.allow_private_endpoints,
            ).problem,
        )
        self._run(self._open(settings)).result()

    async def _open(self, settings: Settings) -> None:
        clock = SystemClock()
        # Blocking: a burst waits for a connection instead of failing after the call was paid for.
        pool = redis.asyncio.BlockingConnectionPool.from_url(settings.redis_url, max_connections=50, timeout=30)
        self._client = redis.asyncio.Redis(connection_pool=pool)
        stored = RedisJobs(
            self._client,
            state_ttl=settings.job_state_ttl,
            records_kept=settings.usage_records,
            sums_ttl=settings.usage_sums_ttl * 86_400,
        )
        directory = Directory(self._store, clock=clock, ttl=settings.config_cache_ttl)
        subscriptions = Subscriptions(self._store, clock=clock, ttl=settings.config_cache_ttl)
        events = self._open_notify(settings, subscriptions, clock)
        limiter = RedisAdmission(self._client, alerts=events, lease_seconds=settings.call_timeout + _LEASE_MARGIN)
        jobs, admission = measured(settings, stored, limiter)
        leases = Leases(jobs, seconds=_LEASE)
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
            ended=events.job_ended,
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
        self._keeping = asyncio.create_task(keeper.run_forever())
        self._verifier = Verifier(
            self._store,
            providers=providers,
            transport=self._transport,
            catalogue=load_catalogue(),
            clock=clock,
            timeout=settings.call_timeout,
        )

        def changed(change: Change) -> None:
            directory.drop(change.scope, trust=change.trust)
            subscriptions.drop(change.scope)

        def unknown() -> None:
            directory.drop_everything()
            subscriptions.drop_everything()

        follower = Follower.at(settings.redis_url, changed=changed, unknown=unknown)
        self._renewal = asyncio.create_task(leases.renew_forever())
        self._following = asyncio.create_task(follower.follow_forever())
        self._expiry = asyncio.create_task(directory.expire_forever())

    def _open_notify(self, settings: Settings, subscriptions: Subscriptions, clock: Clock) -> Events:
        """Events, and the loop that delivers them."""
        limits = Limits(failed=settings.webhook_failed_kept)
        # Later than that a job that is delivered again runs again, and is told again.
        outbox = Outbox(self._client, limits=limits, remembered=settings.job_state_ttl)
        events = Events(
            self._client,
            outbox=outbox,
            subscriptions=subscriptions,
            clock=clock,
            kept=settings.events_kept,
            limits=limits,
            remembered=settings.job_state_ttl,
            callback_max_bytes=settings.callback_max_bytes,
        )
        self._poster = build_poster(settings)
        deliverer = Deliverer(
            events=events,
            outbox=outbox,
            subscriptions=subscriptions,
            poster=self._poster,
            clock=clock,
            backoff=settings.webhook_backoff,
            places=settings.webhook_concurrency,
            seconds=settings.webhook_timeout,
        )
        self._events = events
        self._delivering = asyncio.create_task(deliverer.run_forever())
        return events

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
            self.failed(heard, job_id, Failure.model_validate({"message": error.message, **error.details}))
            raise

    def failed(self, job: ExtractionJob, job_id: str, failure: Failure) -> None:
        """Tell of the end of a job that failed outside of the engine.

        Raises:
            redis.RedisError: it cannot be told.
        """
        self._run(self._events.job_ended(job, job_id, Ending(failure=failure))).result()

    def attempt(self, job: ExtractionJob, job_id: str, route: Route, delivery: Delivery) -> Outcome:
        """Take a job through the connection of its route; blocks the calling thread, never the loop.

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

    def abandon(self) -> None:
        """Give up all jobs in hand; each `attempt` that waits for one raises `CancelledError`."""
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
        self._run(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._sync_client.close()

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._transport.aclose()
        await self._poster.aclose()
        await self._client.aclose()
        await self._loop.shutdown_default_executor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process, built when the first task needs it."""
    global _runtime  # noqa: PLW0603 - one per process, like Celery's app
    with _lock:
        if _runtime is None:
            _runtime = Runtime(load_settings())
            # What start-up made lives as long as the process: the garbage collector need not walk it time and again.
            gc.collect()
            gc.freeze()
            signals.worker_shutting_down.connect(_on_worker_shutting_down, weak=False, dispatch_uid="byom.drain")
            signals.worker_shutdown.connect(_on_worker_shutdown, weak=False, dispatch_uid="byom.runtime")
        return _runtime


def _on_worker_shutting_down(**_options: Any) -> None:
    """Celery waits for running tasks as long as they take; a deploy does not."""
    timer = threading.Timer(load_settings().shutdown_timeout, _abandon)
    timer.daemon = True
    timer.start()


def _abandon() -> None:
    if _runtime is not None:
        _runtime.abandon()


def _on_worker_shutdown(**_options: Any) -> None:
    close_runtime()


def close_runtime() -> None:
    """Close the runtime of this process, if it was built."""
    global _runtime  # noqa: PLW0603 - as above
    with _lock:
        if _runtime is not None:
            _runtime.close()
            _runtime = None
