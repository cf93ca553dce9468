"""Every error of ours survives the way to another process, with what it says."""

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import config
import tasks
import workers

#: Extras, commands that run when they are imported, and what stands in for vendors: none of it crosses processes.
_ELSEWHERE = ("workers.cli", "workers.embedded", "workers.ledger.sql", "workers.backfill.parquet")
_EXTRA = {"workers.tracing.otel", "workers.backfill.sinks.parquet"}

_SAMPLES: dict[str, Any] = {"str": "it broke; mend it", "float": 3.0}


def modules() -> Iterator[str]:
    for package in (config, tasks, workers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            name = found.name
            if not name.startswith(_ELSEWHERE) and name not in _EXTRA and not name.endswith("__main__"):
                yield name


def errors() -> list[type[Exception]]:
    found = {
        value
        for name in modules()
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == name
    }
    return sorted((error for error in found if not error.__name__.startswith("_")), key=lambda error: error.__name__)


@pytest.mark.parametrize("error", errors(), ids=lambda error: error.__name__)
def test_it_says_the_same_in_another_process(error: type[Exception]) -> None:
    made = error(*_arguments(error))

    twin = pickle.loads(pickle.dumps(made))  # noqa: S301 - read where it was written

    assert (type(twin), str(twin), vars(twin)) == (error, str(made), vars(made))


def _arguments(error: type[Exception]) -> list[Any]:
    """What it takes to make one; those that say nothing else of it take a text."""
    if getattr(error.__init__, "__module__", "").split(".")[0] not in {"config", "tasks", "workers"}:
        return [_SAMPLES["str"]]
    needed = [one for one in inspect.signature(error).parameters.values() if one.default is one.empty]
    return [_SAMPLES[one.annotation.__name__] for one in needed]
