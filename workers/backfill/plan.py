"""Reading an input for a plan: every line is checked, good ones are counted, and nothing is enqueued."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from workers.backfill.entries import BadLine, Defaults, Entry, parse_line
from workers.backfill.select import Selection
from workers.backfill.source import Line

#: Lines between two reports.
_EVERY = 1_000


@dataclass(slots=True, kw_only=True)
class Survey:
    """How far an input is read, in lines that are not blank."""

    lines: int = 0
    bad: int = 0
    #: Good ones that were not selected.
    passed_over: int = 0

    @property
    def selected(self) -> int:
        """Those that are to be done."""
        return self.lines - self.bad - self.passed_over


def survey(
    lines: Iterable[Line],
    defaults: Defaults,
    *,
    take: Callable[[Entry], None],
    reject: Callable[[BadLine], None],
    selection: Selection,
) -> Iterator[Survey]:
    """Read all lines; says from time to time how far it is, and at the end. It is always the same value.

    Args:
        lines: of the input.
        defaults: what they need not say.
        take: is given each entry that is to be done.
        reject: is given each line that is none.
        selection: says what is to be done.

    Raises:
        SourceError: the input breaks off.
    """
    seen = Survey()
    for line in lines:
        entry = parse_line(line, defaults)
        seen.lines += 1
        if isinstance(entry, BadLine):
            seen.bad += 1
            reject(entry)
        elif selection.wants(entry):
            take(entry)
        else:
            seen.passed_over += 1
        if seen.lines % _EVERY == 0:
            yield seen
    yield seen
