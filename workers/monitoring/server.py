"""Flower with our pages in it: one process, Flower's own classes, nothing of it copied."""

from pathlib import Path
from typing import Any

from celery import Celery
from flower.app import Flower  # type: ignore[import-untyped]  # has no types
from flower.urls import settings as flower_settings  # type: ignore[import-untyped]  # as above
from prometheus_client import CollectorRegistry
from tornado.routing import URLSpec
from tornado.web import StaticFileHandler, url

from workers.monitoring.boards import Boards
from workers.monitoring.metrics.pool import PoolCollector
from workers.monitoring.navigation import Templates
from workers.monitoring.pages.lanes import LanesPage
from workers.monitoring.pages.metrics import MetricsPage
from workers.monitoring.pages.providers import ProvidersPage
from workers.monitoring.pages.usage import UsageCsv, UsagePage

_STATIC = Path(__file__).parent / "static"


def build_flower(
    app: Celery, boards: Boards, options: Any, *, collector: PoolCollector, open_metrics: bool = False, **settings: Any
) -> Flower:
    """Flower with our pages; listens on nothing yet.

    Args:
        app: the Celery app that it watches.
        boards: where our pages get what they show.
        options: Flower's own.
        collector: of the metrics of the pool.
        open_metrics: let everybody read `/metrics` who can reach it, as Flower alone does.
        settings: of Tornado; beat Flower's own.
    """
    known = {**flower_settings, **settings}
    flower = Flower(capp=app, options=options, **{**known, "template_loader": Templates(known["template_path"])})
    # Before Flower's own, whose last one takes every address.
    registry = CollectorRegistry()
    registry.register(collector)
    rules = _rules(boards, registry, open_metrics=open_metrics)
    flower.add_handlers(".*", [_below(options.url_prefix, rule) for rule in rules])
    return flower


def _rules(boards: Boards, registry: CollectorRegistry, *, open_metrics: bool) -> list[URLSpec]:
    given = {"boards": boards}
    return [
        url(r"/usage", UsagePage, given, name="usage"),
        url(r"/usage\.csv", UsageCsv, given, name="usage_csv"),
        url(r"/providers", ProvidersPage, given, name="providers"),
        url(r"/lanes", LanesPage, given, name="lanes"),
        url(r"/metrics", MetricsPage, {**given, "registry": registry, "is_open": open_metrics}, name="metrics"),
        url(r"/byom/(.*)", StaticFileHandler, {"path": str(_STATIC)}, name="byom_static"),
    ]


def _below(prefix: str | None, rule: URLSpec) -> URLSpec:
    """The same handler below Flower's `--url-prefix`."""
    if not prefix:
        return rule
    return url(f"/{prefix.strip('/')}{rule.regex.pattern}", rule.handler_class, rule.kwargs, rule.name)
