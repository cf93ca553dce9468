"""How often a worker vanished with a message in hand, as the message itself says.

Only the sweep for messages that nobody renews any more counts. What is put back in good order, by a job that waits or a
worker that stops, is not counted; a worker that could not reach Redis for long is, and so are all jobs that happened to
be in the hands of one that died. So the number is a suspicion and no verdict: see `workers.solitary`.
"""

from collections.abc import Mapping
from typing import Any, Final

#: Name of the message header.
CRASHES: Final = "byom-crashes"

#: Nobody counts further.
_MOST = 1_000


def crashes_of(headers: Mapping[str, Any]) -> int:
    """The number in the headers of a message; 0 where they say none, or nothing that makes sense."""
    value = headers.get(CRASHES)
    return value if type(value) is int and 0 <= value <= _MOST else 0


def crashed_once_more(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers after one more crash."""
    return {**headers, CRASHES: min(crashes_of(headers) + 1, _MOST)}
