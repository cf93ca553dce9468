"""Connects a worker process to its heart."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from celery import Celery, signals

from config.settings import Settings, load_settings
from workers.health.consuming import consuming
from workers.health.pulse import Heart, Stage, Terms
from workers.health.watch import Watch


@lru_cache(maxsize=1)
def own_heart() -> Heart:
    """The heart of this process."""
    return Heart(Terms.of(load_settings()))


def watch_health(app: Celery, settings: Settings) -> None:
    """Let the worker that an app becomes say how it is; an app that becomes none is left alone."""

    def start(**_options: Any) -> None:
        path = Path(settings.health_file) if settings.health_file else None
        Watch(own_heart(), path=path).start()

    def drain(**_options: Any) -> None:
        own_heart().enter(Stage.DRAINING)

    steps: Any = app.steps["consumer"]
    steps.add(consuming(own_heart()))
    # Later than `worker_init`: logging is set up by then.
    signals.celeryd_after_setup.connect(start, weak=False, dispatch_uid="byom.health")
    signals.worker_shutting_down.connect(drain, weak=False, dispatch_uid="byom.health.draining")
