"""What may be shown of a task's arguments: who, where and how many; never what anybody said.

The text is a flat Python dictionary, because Flower reads it as one and finds tasks by `kwargs:project=acme`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.contract import BACKFILL_TASK, LIMITS, ProviderKind

#: Names, ids and model ids. No blanks, so that prose does not pass for a name.
_SHOWABLE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:/@+-]{{0,{LIMITS.name_chars - 1}}}")

_PROVIDERS = {f"extract.{kind.value}": kind.value for kind in ProviderKind}

#: Stands where a producer put something that is not a name.
UNREADABLE = "(unreadable)"


def describe(task_name: str, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The `kwargsrepr` of a task: project, provider, model, role, attempt, episodes, job, as far as they are known.

    Never fails and is never longer than a line or two, whatever the payload is. The matching `argsrepr` is `()`.
    """
    kwargs = _mapping(kwargs)
    job = _mapping(kwargs.get("job") or (args[0] if isinstance(args, list | tuple) and args else None))
    route = _mapping(kwargs.get("route"))
    shown: dict[str, str | int] = {}
    if "project" in job:
        shown["project"] = _name(job["project"])
    if task_name == BACKFILL_TASK:
        shown["backfill"] = _name(args[0] if isinstance(args, list | tuple) and args else None)
    if provider := _PROVIDERS.get(task_name):
        shown["provider"] = provider
    for part in ("model", "role"):
        if part in route:
            shown[part] = _name(route[part])
    if route:
        shown["attempt"] = _length(route.get("history")) + 1
    if "episodes" in job:
        shown["episodes"] = _length(job["episodes"])
    shown["job"] = _name(task_id)
    return repr(shown)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


def _name(value: Any) -> str:
    return value if isinstance(value, str) and _SHOWABLE.fullmatch(value) else UNREADABLE
