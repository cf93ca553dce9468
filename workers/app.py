"""The Celery app: `celery -A workers.app worker`."""

from typing import Any

import structlog
from celery import Celery, signals

from config.celeryconfig import celery_config
from config.settings import Settings, load_settings
from workers.health.wiring import watch_health
from workers.log import configure_logging
from workers.monitoring.metrics.serve import serve_from_the_start
from workers.tracing.opening import tracing_problem

_log = structlog.get_logger(__name__)

#: The app of this process, built from its settings when it is first asked for.
app: Celery


def create_app(settings: Settings) -> Celery:
    """A Celery app; connects to nothing.

    Raises:
        SettingsError: a URL is not of a kind that the pool's transport speaks.
    """
    created = Celery(
        "byom",
        amqp="workers.broker.amqp:AMQP",
        task_cls="workers.broker.redaction:ByomTask",
        include=["tasks.extract", "tasks.verify", "tasks.backfill"],
        set_as_current=False,
    )
    created.loader.override_backends = dict.fromkeys(("redis", "rediss"), "workers.broker.results:ResultBackend")
    created.conf.update(celery_config(settings))
    return created


def __getattr__(name: str) -> Celery:
    # Built on demand, so that importing `create_app` reads no settings.
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    untraced = tracing_problem(settings)

    def set_up_logging(**_options: Any) -> None:
        configure_logging(settings.log_format, settings.log_level)

    def start_runtime(**_options: Any) -> None:
        # Not with the first job: what a worker has to deliver for others does not wait until it gets one.
        from workers.process import runtime  # noqa: PLC0415 - most that ask for the app run no jobs

        runtime()
        if untraced is not None:
            _log.error("traces_not_sent", found=untraced.found, mend=untraced.mend)

    created = create_app(settings)
    created.set_default()
    signals.worker_ready.connect(start_runtime, weak=False, dispatch_uid="byom.start")
    # A receiver also keeps Celery from setting up logging by itself.
    signals.setup_logging.connect(set_up_logging, weak=False, dispatch_uid="byom.log")
    watch_health(created, settings)
    serve_from_the_start(settings)
    globals()["app"] = created
    return created
