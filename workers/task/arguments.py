"""How tasks that foreign producers call take what they are given: one payload, or a clear word where it is not that."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.contract import FailureCode, JobRefused


def sole_argument(given: Sequence[Any], named: Mapping[str, Any], *, name: str) -> Any:
    """The one argument of a task, wherever its producer put it.

    Args:
        given: positional arguments.
        named: keyword arguments; one that is called `name` is taken, too.
        name: what the argument is.

    Raises:
        JobRefused: it is missing, or not the only one. Python's own `TypeError` would tell a producer nothing that it
            could act on.
    """
    if len(given) == 1 and not named:
        return given[0]
    if not given and named.keys() == {name}:
        return named[name]
    problem = f"the {name} is the one positional argument of the task: send_task(…, args=[{name}])"
    raise JobRefused(
        f"The {name} was refused: {problem}. Mend the call and send it again.",
        {"code": FailureCode.INVALID_JOB.value, "problems": [problem]},
    )
