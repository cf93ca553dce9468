"""The file of a backfill as its driver reads it."""

from collections.abc import Iterator

from workers.backfill.definition import LABEL, Definition
from workers.backfill.entries import BadLine, Defaults, Entry, parse_line
from workers.backfill.source import read_lines


class FileSource:
    """Lines of the file that a backfill began with."""

    def __init__(self, definition: Definition, *, wanted: bytes = b"") -> None:
        """Take the backfill, and its lines that are to be done, as bits; empty: all."""
        self._wanted = wanted
        self._path = definition.source
        self._callback_url = definition.callback_url
        self._defaults = defaults_of(definition)

    def read(self, *, after: int) -> Iterator[Entry | BadLine]:
        """Those behind line `after`, in order.

        Raises:
            SourceError: it cannot be read, or not to its end.
        """
        for line in read_lines(self._path, after=after):
            if self._wanted and not is_set(self._wanted, line.number):
                continue
            parsed = parse_line(line, self._defaults)
            if isinstance(parsed, Entry) and self._callback_url is not None and parsed.job.callback_url is None:
                job = parsed.job.model_copy(update={"callback_url": self._callback_url})
                parsed = Entry(number=parsed.number, id=parsed.id, job=job)
            yield parsed


def is_set(bits: bytes, number: int) -> bool:
    """Whether a bit is set, counted from 0, the highest one of the first byte, as Redis does."""
    place = number >> 3
    return place < len(bits) and bool(bits[place] & (0x80 >> (number & 7)))


def with_bit(bits: bytearray, number: int) -> None:
    """Set a bit; the bytes grow as they must."""
    place = number >> 3
    if place >= len(bits):
        bits.extend(bytes(place + 1 - len(bits)))
    bits[place] |= 0x80 >> (number & 7)


def defaults_of(definition: Definition) -> Defaults:
    """What the lines of a backfill need not say themselves."""
    return Defaults(
        project=definition.project,
        labels=definition.labels,
        stamps={LABEL: definition.name},
        pack_tokens=definition.pack_tokens,
        economy=definition.economy,
    )
