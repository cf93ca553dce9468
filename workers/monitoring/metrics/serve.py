"""The metrics of this worker process, for Prometheus to fetch, and its health, for whoever restarts it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import structlog
from celery import signals
from prometheus_client import REGISTRY, make_wsgi_app, start_http_server

from config.settings import Settings
from workers.admission import Admission
from workers.clock import Clock
from workers.health.serving import with_health
from workers.health.wiring import own_heart
from workers.jobs import JobStore
from workers.monitoring.metrics.calls import CallMetrics, MeasuredAdmission, MeasuredJobs, MeasuredPoster
from workers.monitoring.metrics.series import Count, Counted, Series
from workers.notify.posting import Posting
from workers.signing import Noted

_log = structlog.get_logger(__name__)


@lru_cache(maxsize=1)
def call_metrics() -> CallMetrics:
    """The metrics of this process, beside those of Python and of the process itself."""
    return CallMetrics(Series(REGISTRY).count)


def counting(settings: Settings) -> Callable[[Counted], None]:
    """Counts what another process has measured, where anybody asks for metrics. Safe for threads."""

    def count(counted: Counted) -> None:
        if settings.metrics_port is not None:
            call_metrics().count(counted.metric, counted.labels, counted.value)

    return count


def measured(
    settings: Settings, jobs: JobStore, admission: Admission, *, count: Count | None = None
) -> tuple[JobStore, Admission]:
    """Both with everything counted that goes through them; as they are where nobody asks for metrics.

    Args:
        settings: say whether anybody does.
        jobs: where attempts are settled and jobs end.
        admission: whom calls ask.
        count: counts instead of the series of this process.
    """
    if settings.metrics_port is None:
        return jobs, admission
    metrics = _metrics(count)
    return MeasuredJobs(jobs, metrics), MeasuredAdmission(admission, metrics)


def measured_poster(settings: Settings, poster: Posting, *, clock: Clock, count: Count | None = None) -> Posting:
    """A poster with its posts timed; as it is where nobody asks for metrics. `count` as above."""
    return poster if settings.metrics_port is None else MeasuredPoster(poster, _metrics(count), clock=clock)


def _metrics(count: Count | None) -> CallMetrics:
    return call_metrics() if count is None else CallMetrics(count)


def measure_signature(settings: Settings, noted: Noted) -> None:
    """Count what came of a signature, where anybody asks for metrics."""
    if settings.metrics_port is not None:
        call_metrics().signature(noted)


def serve_from_the_start(settings: Settings) -> None:
    """Let a worker serve its metrics and its health, if its settings say where; before it has reached the broker."""
    if settings.metrics_port is None:
        return
    port, address = settings.metrics_port, settings.metrics_address

    def serve(**_options: Any) -> None:
        # Metrics are there from the start, at 0.
        call_metrics()
        try:
            server, _ = start_http_server(port, addr=address)
        except OSError as error:
            # Jobs matter more.
            _log.error(
                "metrics_not_served",
                address=address,
                port=port,
                error=error.strerror,
                mend="each worker of a machine needs a BYOM_METRICS_PORT of its own",
            )
        else:
            server.set_app(with_health(make_wsgi_app(REGISTRY), own_heart()))

    signals.celeryd_after_setup.connect(serve, weak=False, dispatch_uid="byom.metrics")
