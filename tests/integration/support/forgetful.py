"""For `celery worker --include`: the first `REFUSED_RESULTS` results cannot be stored, by an unforeseen error."""

import os
from itertools import count
from typing import Any

from workers.broker.results import ResultBackend, Results

_refused = int(os.environ.get("REFUSED_RESULTS", "0"))
_numbers = count()
_set, _store = ResultBackend._set, Results.store


def _refuse() -> None:
    if next(_numbers) < _refused:
        raise LookupError("no place for results")


def _refusing(backend: ResultBackend, *args: Any, **kwargs: Any) -> None:
    """As the method that it replaces, once it has refused often enough."""
    _refuse()
    _set(backend, *args, **kwargs)


async def _refusing_too(results: Results, *args: Any, **kwargs: Any) -> None:
    """As the method that it replaces, likewise."""
    _refuse()
    await _store(results, *args, **kwargs)


if _refused:
    type.__setattr__(ResultBackend, "_set", _refusing)
    type.__setattr__(Results, "store", _refusing_too)
