"""For `celery worker --include`: the first `REFUSED_RESULTS` results cannot be stored, by an unforeseen error."""

import os
from itertools import count
from typing import Any

from workers.broker.results import ResultBackend

_refused = int(os.environ.get("REFUSED_RESULTS", "0"))
_numbers = count()
_set = ResultBackend._set


def _refusing(backend: ResultBackend, *args: Any, **kwargs: Any) -> None:
    """As the method that it replaces, once it has refused often enough."""
    if next(_numbers) < _refused:
        raise LookupError("no place for results")
    _set(backend, *args, **kwargs)


if _refused:
    type.__setattr__(ResultBackend, "_set", _refusing)
