"""The hourly sums: which keys and fields hold them, and what a record adds.

One hash per hour holds a field per combination of all dimensions. Why attempts failed is not among them, since it would
multiply the combinations of all for the sake of a few: failed attempts are summed a second time in a hash of their own,
by cause. Labels are not among them, since every new label
would multiply the combinations: each label has a hash of its own per hour, with a field per combination and value, as
far as there is room (`LABEL_FIELDS`, `LABEL_FIELDS_OF_PROJECT`). What finds no room is missing there, and the reader
makes it up from the sums of the hour as `(other)`: so totals are exact, and memory is bounded, whatever labels hold.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from tasks.contract import AttemptRecord
from workers.ledger.amounts import Amounts

#: What a field of the sums is made of, in its order. Names are only ever added at the end.
STORED = (
    "account",
    "project",
    "provider",
    "model",
    "role",
    "credential_version",
    "connection",
    "priority",
    "served_model",
    "tier",
)

#: Why an attempt failed, and what was done about it.
CAUSE = ("status", "action")
#: What a field of the sums of failed attempts is made of, in its order.
FAILED = (*CAUSE, *STORED)

#: Days that sums are kept unless the settings say otherwise, and the same in seconds.
SUMS_DAYS = 90
SUMS_TTL = SUMS_DAYS * 86_400

#: Fields of label sums in one hour: of one project, so that none crowds out the others, and of all together.
LABEL_FIELDS_OF_PROJECT = 500
LABEL_FIELDS = 10_000


def hour_key(at: datetime) -> str:
    """Key of the sums of the hour that holds an instant."""
    utc = at.astimezone(UTC)
    return f"byom:usage:sums:{utc.year:04}{utc.month:02}{utc.day:02}{utc.hour:02}"


def failed_key(hour: str) -> str:
    """Key of the sums of failed attempts in an hour, by cause, by the key of the hour."""
    return f"{hour}:failed"


def label_key(hour: str, label: str) -> str:
    """Key of the sums of one label in an hour, by the key of the hour."""
    return f"{hour}:label:{label}"


def labels_key(hour: str) -> str:
    """Key of the room that labels take in an hour: fields `kept`, `kept:<project>`, `left:<project>` (out)."""
    return f"{hour}:labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """What one record adds to the sums, as `settle.lua` takes it."""

    hour: str
    field: str
    #: Field in the sums of failed attempts; empty when it did not fail.
    failed: str
    amounts: str
    project: str
    #: Label → field in the label's sums.
    labels: dict[str, str]

    @classmethod
    def of(cls, record: AttemptRecord) -> Self:
        """What a record adds."""
        values = [_text(getattr(record, name)) for name in STORED]
        amounts = Amounts.of(record)
        return cls(
            hour=hour_key(record.started_at),
            field=_field(values),
            failed=_field([record.status, record.action, *values]) if amounts.failed else "",
            amounts=amounts.pack(),
            project=record.project,
            labels={name: _field([value, *values]) for name, value in sorted(record.labels.items())},
        )

    @property
    def keys(self) -> list[str]:
        """The keys that are written."""
        keys = (self.hour, failed_key(self.hour), labels_key(self.hour))
        return [*keys, *(label_key(self.hour, label) for label in self.labels)]

    @property
    def args(self) -> list[str | int]:
        """What is written there."""
        bounds = [LABEL_FIELDS_OF_PROJECT, LABEL_FIELDS]
        return [self.amounts, self.field, self.failed, self.project, *bounds, *self.labels.values()]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


#: Made once: `json.dumps` would make one for each field.
_field: Callable[[list[str | None]], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
