"""How jobs that wait for a batch, and batches, lie in Redis: beside the lanes, in the same database.

A *line* is one connection of one project, named by the two with a tab between them. A batch holds jobs of one line, so
that one credential, one budget and one set of labels is its.

    byom:economy:lines            set   lines in which something is
    byom:economy:waiting:<line>   zset  job that waits → since when, in seconds of the server's clock
    byom:economy:job:<job>        hash  line, project, since, batch (empty while it waits), and for each of its messages
                                        m:<delivery tag>: queue, lane, label, connection, message, one per line
    byom:economy:open:<line>      set   batches that are not over
    byom:economy:batch:<batch>    hash  batch (as JSON), revision, cancel (somebody asked for it)
    byom:economy:items:<batch>    text  its items as JSON
    byom:economy:closed           zset  batches that are over → when; the last thousand, for a week
    byom:economy:lease:<line>     text  who looks after the line
"""

from typing import NamedTuple, Self

PREFIX = "byom:economy:"

LINES = f"{PREFIX}lines"
CLOSED = f"{PREFIX}closed"

#: Seconds that the working state of a job is kept while it waits and its batch is under way: longer than either lasts.
STATE_KEPT = 4 * 86_400
#: How long batches that are over are shown, in seconds, and how many.
CLOSED_KEPT = 7 * 86_400
CLOSED_MOST = 1_000


class Line(NamedTuple):
    """One connection of one project."""

    project: str
    connection: str

    def __str__(self) -> str:
        return "\t".join(self)

    @classmethod
    def parse(cls, name: str) -> Self:
        """From the name in Redis."""
        return cls(*name.split("\t"))


def waiting_key(line: Line) -> str:
    """Key of the jobs that wait."""
    return f"{PREFIX}waiting:{line}"


def job_key(job_id: str) -> str:
    """Key of a job that waits or is in a batch."""
    return f"{PREFIX}job:{job_id}"


def open_key(line: Line) -> str:
    """Key of the batches that are not over."""
    return f"{PREFIX}open:{line}"


def batch_key(batch_id: str) -> str:
    """Key of a batch."""
    return f"{PREFIX}batch:{batch_id}"


def items_key(batch_id: str) -> str:
    """Key of the items of a batch."""
    return f"{PREFIX}items:{batch_id}"


def lease_key(line: Line) -> str:
    """Key of who looks after a line."""
    return f"{PREFIX}lease:{line}"
