"""Reading the dates of facts, and telling which cannot be."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cached_property
from typing import Final

#: How models write that there is no date.
_ABSENT: Final = frozenset(
    {"", "-", "null", "none", "n/a", "na", "nil", "unknown", "present", "now", "ongoing", "current"}
)
_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2}))?")
_FULL = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].+)?")
#: Years at either side of the reference time that an episode may mean without writing the year out.
_YEARS: Final = 100
#: Room at both ends, so that no conversion between offsets leaves the calendar.
_FIRST_YEAR: Final = 2
_LAST_YEAR: Final = 9_998
_MINUTE: Final = timedelta(minutes=1)


class UnreadableDate(ValueError):
    """Not a date in any of the agreed forms, or one that no calendar has."""


class Calendar:
    """Dates as one prompt means them.

    Args:
        reference: when the episode was said or written; its offset holds for dates without one.
        said: everything the model was shown, for the years that it names.
    """

    def __init__(self, reference: datetime | None, said: str) -> None:
        self.reference = reference
        self._said = said

    def read(self, text: str) -> datetime | None:
        """A date as an instant, the start of the year, month or day if it says no more; None if it is absent.

        Raises:
            UnreadableDate: neither a date nor one of the words for none.
        """
        text = text.strip()
        if text.casefold() in _ABSENT:
            return None
        partial = _PARTIAL.fullmatch(text)
        try:
            if partial:
                read = datetime(int(partial[1]), int(partial[2] or 1), 1, tzinfo=self._offset)
            elif _FULL.fullmatch(text):
                read = datetime.fromisoformat(text)
            else:
                raise UnreadableDate
        except ValueError:
            raise UnreadableDate from None
        if not _FIRST_YEAR <= read.year <= _LAST_YEAR:
            raise UnreadableDate
        return _with_offset(read, self._offset)

    def is_plausible(self, date: datetime) -> bool:
        """Whether the year is near the reference time, or else written in the text.

        A model that knows no date likes to give today's, or one that it was trained on.
        """
        if self.reference is not None and abs(date.year - self.reference.year) <= _YEARS:
            return True
        year = f"{date.year:04}"
        return year.lstrip("0") in self._numbers or (self.reference is None and year[2:] in self._numbers)

    def is_stamp(self, date: datetime) -> bool:
        """Whether a date is no more than the reference time, or its day, written down once more."""
        if self.reference is None:
            return False
        midnight = self.reference.replace(hour=0, minute=0, second=0, microsecond=0)
        return date in {self.reference.replace(microsecond=0), self.reference, midnight}

    @cached_property
    def _offset(self) -> tzinfo:
        offset = self.reference.utcoffset() if self.reference is not None else None
        # An offset, not a zone: after a trip through JSON the job knows no more than that.
        return timezone(offset) if offset and not offset % _MINUTE else UTC

    @cached_property
    def _numbers(self) -> frozenset[str]:
        """All numbers of the text, in ASCII digits whatever the script."""
        found = re.findall(r"\d+", unicodedata.normalize("NFKC", self._said))
        return frozenset("".join(str(unicodedata.decimal(digit)) for digit in number) for number in found)


def _with_offset(date: datetime, default: tzinfo) -> datetime:
    offset = date.utcoffset()
    if offset is None:
        return date.replace(tzinfo=default)
    # Offsets with seconds exist in ISO 8601 but not in JSON Schema's date-time.
    return date.astimezone(UTC) if offset % _MINUTE else date
