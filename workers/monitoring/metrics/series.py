"""Where what a process measures is counted: in its own series, or in those of another one."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import BaseModel, ConfigDict

from workers.monitoring.metrics import names
from workers.monitoring.metrics.slots import Slots

#: Models that have series of their own in one process.
_MODELS: Final = 50
#: Labels that say a model.
_MODEL: Final = frozenset({"gen_ai_request_model", "model"})

#: Takes the name of a metric, values of its labels, and what is to be added to a counter or observed by a histogram.
Count = Callable[[str, Sequence[str], float], None]


class Counted(BaseModel):
    """One thing that was measured, on its way to the process that counts it."""

    model_config = ConfigDict(frozen=True)

    metric: str
    labels: tuple[str, ...]
    value: float


class Series:
    """All series of a worker, which are there from the start. Safe for threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models = Slots(_MODELS)
        self._lock = threading.Lock()
        self._counters = {
            metric.name: Counter(metric.name, metric.says, metric.labels, registry=registry)
            for metric in names.WORKER
            if metric.kind is names.Kind.COUNTER
        }
        self._histograms = {
            metric.name: Histogram(metric.name, metric.says, metric.labels, registry=registry, buckets=metric.buckets)
            for metric in names.WORKER
            if metric.kind is names.Kind.HISTOGRAM
        }
        self._places = {
            metric.name: place
            for metric in names.WORKER
            for place, label in enumerate(metric.labels)
            if label in _MODEL
        }

    def count(self, metric: str, labels: Sequence[str], value: float) -> None:
        """As `Count` says."""
        if (place := self._places.get(metric)) is not None:
            with self._lock:
                model = self._models.of(labels[place], now=datetime.now(UTC))
            labels = (*labels[:place], model, *labels[place + 1 :])
        if histogram := self._histograms.get(metric):
            histogram.labels(*labels).observe(value)
        else:
            self._counters[metric].labels(*labels).inc(value)
