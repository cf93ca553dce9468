"""What a benchmark is made of: a row is one measurement, its figures are lines of the table."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

#: Name → amount, such as jobs or seconds.
Sizes = Mapping[str, int]

#: How a figure is written: `str.format` with the value, and with `inverse`, which is one divided by it.
FRACTION = "1/{inverse:.1f}"


class Reach(BaseModel):
    """What a figure is to come to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison: Literal["≤", "<", "≥", "="]
    bound: float
    #: Whether each repeat has to come to it, and not only the median: for what must never happen.
    always: bool = False

    def met(self, value: float) -> bool:
        """Whether a value comes to it; what is no number never does."""
        match self.comparison:
            case "≤":
                return value <= self.bound
            case "<":
                return value < self.bound
            case "≥":
                return value >= self.bound
            case "=":
                return value == self.bound

    def reached(self, values: Sequence[float]) -> bool:
        """Whether the repeats come to it: the median, or all of them where that is what is asked for."""
        judged = values if self.always else [statistics.median(values)] if values else []
        return bool(judged) and all(self.met(value) for value in judged)


def at_most(bound: float) -> Reach:
    """No more than that."""
    return Reach(comparison="≤", bound=bound)


def at_least(bound: float) -> Reach:
    """No less than that."""
    return Reach(comparison="≥", bound=bound)


def below(bound: float) -> Reach:
    """Less than that."""
    return Reach(comparison="<", bound=bound)


def exactly(bound: float) -> Reach:
    """That, each time."""
    return Reach(comparison="=", bound=bound, always=True)


def written(form: str, value: float) -> str:
    """A value in the form of its figure."""
    return form.format(value, inverse=1 / value if value else math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    #: What it says.
    what: str
    #: As `FRACTION`, or `"{:.2f} ms"`.
    form: str = "{:,.2f}"
    #: Absent where it is told for comparison only.
    reach: Reach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one repeat found."""

    #: Key of a figure → value.
    values: Mapping[str, float]
    #: What else is to be said of it, in words.
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement, from setting up to tearing down."""

    #: What it is called on the command line.
    name: str
    #: How it is measured, in a sentence.
    how: str
    #: Key → figure, in the order of the table.
    figures: Mapping[str, Figure]
    measure: Callable[[Sizes], Measured]
    #: What it is measured with, and what is enough to see that it works.
    full: Sizes = field(default_factory=dict)
    quick: Sizes = field(default_factory=dict)
    #: How often, unless the command says otherwise.
    repeats: int = 3

    def sizes(self, *, quick: bool = False, wanted: Sizes | None = None) -> Sizes:
        """What to measure with.

        Args:
            quick: small ones.
            wanted: single ones that replace those.

        Raises:
            ValueError: the row has no size of that name.
        """
        sizes = {**self.full, **(self.quick if quick else {})}
        if unknown := (wanted or {}).keys() - sizes:
            known = ", ".join(sizes) or "none"
            raise ValueError(f"{self.name} has no size called {', '.join(sorted(unknown))}; it has {known}")
        return {**sizes, **(wanted or {})}


class CannotMeasure(Exception):
    """Something is missing; the message says what to do."""
