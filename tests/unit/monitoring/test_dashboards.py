"""The files for Grafana and Prometheus name metrics that there are, by labels that they have, in good expressions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from flower.events import get_prometheus_metrics  # type: ignore[import-untyped]  # has no types
from prometheus_client import REGISTRY

from workers.monitoring.metrics import names

ROOT = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "docs" / "monitoring" / "grafana-dashboard.json").read_text(encoding="utf-8")
)
RULES: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
#: Title or name, and expression; Grafana's variables stand for anything.
EXPRESSIONS = [
    *((panel["title"], target["expr"].replace("$project", ".*")) for panel in PANELS for target in panel["targets"]),
    *((rule["alert"], rule["expr"]) for rule in ALERTS),
]

Selector = promql.VectorSelector


def parts(found: Any) -> Iterator[Any]:
    """An expression and all that it is made of."""
    yield found
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        inner = getattr(found, name, None)
        if inner is not None:
            yield from parts(inner)
    for argument in getattr(found, "args", None) or ():
        yield from parts(argument)


def selectors(expression: str) -> list[Selector]:
    return [part for part in parts(promql.parse(expression)) if isinstance(part, Selector)]


def exported() -> dict[str, set[str]]:
    """Names of samples → their labels."""
    found: dict[str, set[str]] = {}
    for metric in (*names.POOL, *names.WORKER):
        labels = set(metric.labels)
        if metric.kind is names.Kind.HISTOGRAM:
            found |= {
                f"{metric.name}_bucket": labels | {"le"},
                f"{metric.name}_sum": labels,
                f"{metric.name}_count": labels,
            }
        else:
            found[metric.name] = labels
    return found


def flowers_own() -> dict[str, set[str]]:
    """The same of Flower's metrics, whose registry is the process's."""
    get_prometheus_metrics()
    families = {family.name: family for family in REGISTRY.collect()}
    return {name: {"worker", "type", "task"} for name in families if name.startswith("flower_")}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_every_metric_is_exported_and_has_the_labels_it_is_asked_by(where: str, expression: str) -> None:
    known = exported() | flowers_own()

    found = selectors(expression)

    assert found, where
    for selector in found:
        assert selector.name in known, where
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= known[selector.name], where
    # What is summed by is a label of something in the expression.
    labels = set().union(*(known[str(selector.name)] for selector in found))
    for grouped in re.findall(r"(?:by|ignoring|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= labels, where


def test_counters_are_only_looked_at_by_their_growth_and_gauges_never() -> None:
    counters = {metric.name for metric in (*names.POOL, *names.WORKER) if metric.kind is names.Kind.COUNTER}
    for where, expression in EXPRESSIONS:
        grown = {
            str(part.vector_selector.name)
            for part in parts(promql.parse(expression))
            if hasattr(part, "vector_selector")
        }
        for selector in selectors(expression):
            name = str(selector.name)
            assert (name in grown) == (name in counters or name.endswith("_bucket")), f"{where}: {name}"


def test_the_dashboard_shows_every_metric_of_ours() -> None:
    shown = {str(selector.name).removesuffix("_bucket") for _, text in EXPRESSIONS[: len(EXPRESSIONS) - len(ALERTS)]
             for selector in selectors(text)}  # fmt: skip

    assert {metric.name for metric in (*names.POOL, *names.WORKER)} - shown == set()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells
    for panel in PANELS:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_labels_in_legends_are_those_that_are_left() -> None:
    known = exported() | flowers_own()
    for panel in PANELS:
        for target in panel["targets"]:
            asked = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            left = {label.strip() for part in grouped for label in part.split(",")} or set().union(
                *(known[str(selector.name)] for selector in selectors(target["expr"].replace("$project", ".*")))
            )
            assert asked <= left, panel["title"]


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_says_how_bad_it_is_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    grouped = re.findall(r"by \(([^)]*)\)", rule["expr"])
    left = {label.strip() for part in grouped for label in part.split(",")} or {"tenant", "meter", "limit"}
    assert set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) <= left
    assert f"`{rule['alert']}`" in PAGE


def test_names_of_alerts_are_given_once() -> None:
    found = [rule["alert"] for rule in ALERTS]

    assert len(found) == len(set(found))
