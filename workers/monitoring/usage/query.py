"""What a page of usage is asked for, as it stands in the address of the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self
from urllib.parse import urlencode

from workers.monitoring.usage.sums import Combination

#: What tables are made by, as it is called on the page.
DIMENSIONS: Mapping[str, str] = {
    "project": "Project",
    "provider": "Provider",
    "model": "Model",
    "account": "Account",
    "role": "Role",
    "connection": "Connection",
    "credential_version": "Credential version",
    "priority": "Priority",
}

#: What a click on a row shows next, and after that: the row's value becomes a filter.
_ORDER = ("account", "project", "provider", "model", "role", "connection", "credential_version", "priority")

#: Spans of time that can be asked for.
SPANS: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "48h": timedelta(hours=48),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}

#: What rows can be sorted by.
SORTS: Mapping[str, str] = {"cost": "Spend", "tokens": "Tokens", "attempts": "Attempts", "failed": "Failed"}

#: The longest value of a filter.
_LONGEST = 1_000


class BadQuery(ValueError):
    """An address that no link of ours has; the message says what does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which usage, and how it is put together."""

    span: str = "24h"
    by: str = "project"
    sort: str = "cost"
    #: Dimension → value that attempts must have.
    filters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, arguments: Mapping[str, str]) -> Self:
        """From the parameters of an address; what is empty is as good as absent.

        Raises:
            BadQuery: a value is none of those that can be asked for.
        """
        given = {name: value.strip() for name, value in arguments.items() if value.strip()}
        choices = {"span": SPANS, "by": DIMENSIONS, "sort": SORTS}
        for name, known in choices.items():
            if given.get(name, next(iter(known))) not in known:
                raise BadQuery(f"{name} must be one of {', '.join(known)}")
        filters = {name: given[name] for name in DIMENSIONS if name in given}
        if any(len(value) > _LONGEST for value in filters.values()):
            raise BadQuery(f"a filter has at most {_LONGEST} characters")
        return cls(filters=filters, **{name: given[name] for name in choices if name in given})

    @property
    def length(self) -> timedelta:
        """How far back."""
        return SPANS[self.span]

    def fits(self, combination: Combination) -> bool:
        """Whether attempts of this kind are asked for."""
        return all(getattr(combination, name) == value for name, value in self.filters.items())

    def into(self, value: str) -> "UsageQuery":
        """The query behind a row: only its attempts, by the next dimension that is not fixed yet."""
        filters = {**self.filters, self.by: value}
        place = _ORDER.index(self.by) + 1
        left = [name for name in (*_ORDER[place:], *_ORDER[:place]) if name not in filters]
        return replace(self, by=left[0] if left else self.by, filters=filters)

    def without(self, name: str) -> "UsageQuery":
        """The query with one filter less, by what was filtered."""
        return replace(self, by=name, filters={key: value for key, value in self.filters.items() if key != name})

    def address(self) -> str:
        """The parameters of an address."""
        return urlencode({"span": self.span, "by": self.by, "sort": self.sort, **self.filters})
