"""The file of a backfill as its driver reads it."""

from collections.abc import Iterator

from workers.backfill.definition import LABEL, Definition
from workers.backfill.entries import BadLine, Defaults, Entry, parse_line
from workers.backfill.source import read_lines


class FileSource:
    """Lines of the file that a backfill began with."""

    def __init__(self, definition: Definition) -> None:
        self._path = definition.source
        self._callback_url = definition.callback_url
        self._defaults = defaults_of(definition)

    def read(self, *, after: int) -> Iterator[Entry | BadLine]:
        """Those behind line `after`, in order.

        Raises:
            SourceError: it cannot be read, or not to its end.
        """
        for line in read_lines(self._path, after=after):
            parsed = parse_line(line, self._defaults)
            if isinstance(parsed, Entry) and self._callback_url is not None and parsed.job.callback_url is None:
                job = parsed.job.model_copy(update={"callback_url": self._callback_url})
                parsed = Entry(number=parsed.number, id=parsed.id, job=job)
            yield parsed


def defaults_of(definition: Definition) -> Defaults:
    """What the lines of a backfill need not say themselves."""
    return Defaults(
        project=definition.project,
        labels=definition.labels,
        stamps={LABEL: definition.name},
        economy=definition.economy,
    )
