"""Celery's settings, each with its reason. Pure: from our settings to Celery's."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from kombu import Queue

from config.errors import SettingsError
from config.settings import Settings
from tasks.contract import (
    BACKFILL_TASK,
    ENTRY_QUEUE,
    EXTRACT_TASK,
    VERIFY_TASK,
    ProviderKind,
    provider_queue,
    provider_task,
)


def celery_config(settings: Settings) -> dict[str, Any]:
    """Everything that Celery is told.

    Raises:
        SettingsError: a URL is not of a kind that the pool's transport speaks.
    """
    return {**_messages(), **_broker(settings), **_results(settings), **_queues(settings), **_worker(settings)}


def _messages() -> dict[str, Any]:
    return {
        # Nothing that could run code when it is read.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        # A job keeps its place when it moves on to a provider's queue or to a fallback.
        "task_inherit_parent_priority": True,
    }


def _broker(settings: Settings) -> dict[str, Any]:
    url = _redis_url(settings.redis_url, "BYOM_BROKER_URL")
    timeout = settings.visibility_timeout
    return {
        "broker_url": url,
        # kombu's own default for TLS is to verify nothing. `?ssl_cert_reqs=` in the URL overrides this.
        "broker_use_ssl": _tls(url),
        "broker_transport_options": {
            # How soon the jobs of a killed worker run again: this plus one sweep. The living renew what they hold
            # every quarter of it, so that it need not exceed the longest job.
            "visibility_timeout": timeout,
            "unacked_restore_interval": max(1.0, timeout / 12),
            # Every queue gets its turn; a flood on one provider's queue does not hide the others.
            "queue_order_strategy": "round_robin",
            # The transport serves lanes in fair order; this is what backfill gets while live jobs wait too.
            "backfill_floor": settings.backfill_floor,
            # kombu's default of 10 refuses acknowledgements when more threads or greenlets send them at once, and each
            # one lost is a call paid twice.
            "max_connections": settings.concurrency + 10,
            # A broker that vanished without closing the connection is noticed in seconds instead of never.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # Connections that threads publish through; a thread waits for a free one. Each takes two sockets.
        "broker_pool_limit": max(10, min(settings.concurrency, 50)),
        "broker_pool_acquire_timeout": 30,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        # For as long as it takes: a worker that gave up would have to be started by hand.
        "broker_connection_max_retries": None,
        # A failover shows as an error of the channel first (READONLY); it is to be retried too.
        "broker_channel_error_retry": True,
        # A broker restart takes some seconds, and a job that cannot move on to its next queue would have to run again.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 20, "interval_start": 0, "interval_step": 0.2, "interval_max": 2},
    }


def _results(settings: Settings) -> dict[str, Any]:
    url = _redis_url(settings.backend_url, "BYOM_RESULT_URL" if settings.result_url else "BYOM_BROKER_URL")
    return {
        "result_backend": url,
        "redis_backend_use_ssl": _tls(url),
        "result_expires": settings.result_ttl,
        # Would store arguments, and with them what customers said, beside each result.
        "result_extended": False,
        "task_ignore_result": False,
        # Why a job failed is kept even for producers that wanted no result.
        "task_store_errors_even_if_ignored": True,
        # "Running" can be told from "unknown" by id, without Flower. Costs one write per task.
        "task_track_started": True,
        # Otherwise each thread opens a connection of its own.
        "result_backend_thread_safe": True,
        # Above the number of threads: a refused connection would lose the result of a call that was paid for.
        "redis_max_connections": settings.concurrency + 20,
        "redis_socket_timeout": 15,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 30,
        # About two minutes, for the same reason. Both layers retry: writes are retried inside, reads outside only.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 30,
        "result_backend_base_sleep_between_retries_ms": 100,
        "result_backend_max_sleep_between_retries_ms": 5_000,
        "result_backend_transport_options": {"retry_policy": {"max_retries": 2}},
    }


def _queues(settings: Settings) -> dict[str, Any]:
    return {
        "task_queues": [
            Queue(name, routing_key=name) for name in (ENTRY_QUEUE, *(provider_queue(kind) for kind in ProviderKind))
        ],
        "task_routes": {
            EXTRACT_TASK: {"queue": ENTRY_QUEUE},
            VERIFY_TASK: {"queue": ENTRY_QUEUE},
            BACKFILL_TASK: {"queue": ENTRY_QUEUE},
            **{provider_task(kind): {"queue": provider_queue(kind)} for kind in ProviderKind},
        },
        # Never `celery`, which other applications on the same broker use.
        "task_default_queue": ENTRY_QUEUE,
        # A misspelt queue is an error, not a list that fills up unread.
        "task_create_missing_queues": False,
        # The coarse ceiling of each worker process; can be changed while running, also from Flower.
        "task_annotations": {
            provider_task(kind): {"rate_limit": limit} for kind, limit in settings.rate_limits.items()
        },
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        # Celery's pool of threads, which the work on the event loop does not need; nothing is patched.
        "worker_pool": "workers.broker.pool:TaskPool",
        "worker_concurrency": settings.concurrency,
        # No worker hoards what another could begin.
        "worker_prefetch_multiplier": 1,
        # A job is acknowledged when its result is stored, and goes back when its worker is lost.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A job that is delivered again after it succeeded is not run again.
        "worker_deduplicate_successful_tasks": True,
        # Each message with an ETA adds to the prefetch count; a producer that uses many must not empty the queues.
        "worker_eta_task_limit": settings.concurrency + 1_000,
        # Threads cannot be cancelled, and need not be: the transport keeps their deliveries alive meanwhile.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # SIGQUIT and a second SIGINT still leave running jobs this long.
        "worker_soft_shutdown_timeout": settings.shutdown_timeout,
        # Flower lives on these: received, started, and how it ended; sent in batches.
        "worker_send_task_events": True,
        # A fourth event for each job, from every producer, would tell no more than the length of the queue does.
        "task_send_sent_event": False,
        # Logging is set up by workers.log.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Keeps message bodies out of the log.
        "worker_consumer": "workers.broker.consumer:Consumer",
        # Speaks of RabbitMQ.
        "worker_detect_quorum_queues": False,
    }


def _redis_url(url: str, variable: str) -> str:
    """The URL, if the pool's transport speaks it.

    Raises:
        SettingsError: not a single Redis or Valkey over TCP.
    """
    scheme = urlsplit(url).scheme
    if ";" in url or scheme not in {"redis", "rediss"}:
        raise SettingsError(
            f"{variable} must be one URL that begins with redis://, rediss://, valkey:// or valkeys://; "
            f"'{scheme}' is not supported"
        )
    return url


def _tls(url: str) -> dict[str, Any] | None:
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else None
