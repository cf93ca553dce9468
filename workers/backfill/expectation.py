"""What calls of a connection take, learned from those that it made. Pure.

A vendor counts input otherwise than our estimate does, and instructions otherwise than episodes. Answers are longer
for longer episodes, and none is empty. So both are taken for a sum of two parts,

    input  = so much for each estimated token of the text + so much for each of what stands around it
    output = so much for each estimated token of the text + so much for each episode

and each pair of figures is fitted to what was seen. Where little was seen, what is usual (`USUAL_OUTPUT`) weighs in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import fmean
from typing import Final, Self

from tasks.contract import TokenUsage
from workers.extraction import estimate_tokens

#: What is usual weighs as much as so many calls: enough to decide what these leave open.
_PRIOR_CALLS: Final = 1
#: Calls that have to be known before they are relied upon; with fewer, what is usual stands.
LEAST_CALLS: Final = 5
#: Standard errors up and down that a range spans, and the least that it spans, as a share.
_ERRORS: Final = 2.0
_LEAST_SPREAD: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one call asks, in estimated tokens."""

    #: Of the episodes themselves.
    text: int
    #: Of all that stands around them: instructions, context, frames.
    around: int
    #: Episodes that it is about, or parts of long ones.
    episodes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call that was answered."""

    #: Its input, as it was estimated before it.
    asked: Asked
    usage: TokenUsage
    seconds: float

    @property
    def input(self) -> int:
        """All input tokens, however they were priced."""
        return self.usage.total - self.usage.output


@dataclass(slots=True, kw_only=True)
class Work:
    """Calls that are to be made, in sums."""

    calls: int = 0
    episodes: int = 0
    #: Estimated tokens.
    text: int = 0
    around: int = 0

    def add(self, asked: Asked) -> None:
        """Count a call."""
        self.calls += 1
        self.episodes += asked.episodes
        self.text += asked.text
        self.around += asked.around


@dataclass(slots=True, kw_only=True)
class Load:
    """Calls that are to be made, by kind: about one episode, or about several that share a prompt."""

    alone: Work = field(default_factory=Work)
    packed: Work = field(default_factory=Work)

    @property
    def calls(self) -> int:
        """Of both kinds."""
        return self.alone.calls + self.packed.calls

    def add(self, asked: Asked) -> None:
        """Count a call."""
        (self.packed if asked.episodes > 1 else self.alone).add(asked)


@dataclass(frozen=True, slots=True)
class Range:
    """What something is expected to come to, and between what it will lie if all goes as it did."""

    low: float
    expected: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.expected * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Relation:
    """So much for each of one thing, and so much for each of another."""

    first: float
    second: float

    def of(self, first: float, second: float) -> float:
        """What both come to together."""
        return self.first * first + self.second * second

    def times(self, factor: float) -> "Relation":
        """The same, larger or smaller."""
        return Relation(self.first * factor, self.second * factor)


#: As admission takes it before it knows better: as many tokens as are estimated.
USUAL_INPUT: Final = Relation(1.0, 1.0)
#: Of small models that extract from messages and documents: an empty frame and a fact an episode, and about as much
#: JSON as there is text. A rough figure, which the range of plans without history shows.
USUAL_OUTPUT: Final = Relation(1.0, 100.0)
#: By which an answer names one of several episodes.
_NAME_TOKENS: Final = estimate_tokens('"episode":"e10",')


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A relation, and how sure it is."""

    relation: Relation
    #: Share of what is expected that it may be less, or more, whatever it is of.
    below: float = _LEAST_SPREAD
    above: float = _LEAST_SPREAD
    #: Variance of one call about the relation, and the inverse of the information matrix: (xx, xy, yy).
    variance: float = 0.0
    inverse: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def to(cls, rows: Sequence[tuple[float, float, float]], usual: Relation) -> Self:
        """The relation that fits rows of two things and what they came to; least squares, drawn to what is usual.

        What all rows come to together it meets exactly.
        """
        total = sum(row[2] for row in rows)
        usual = usual.times(total / max(1.0, sum(usual.of(*row[:2]) for row in rows)))
        xx, xy, yy = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
        weight = _PRIOR_CALLS / len(rows)
        first, second = (
            sum(row[at] * row[2] for row in rows) + weight * own * known
            for at, own, known in ((0, xx, usual.first), (1, yy, usual.second))
        )
        xx, yy = xx * (1 + weight), yy * (1 + weight)
        det = xx * yy - xy * xy
        if det <= 0:
            return cls(relation=usual)
        inverse = (yy / det, -xy / det, xx / det)
        # Nothing takes less than nothing.
        relation = Relation(
            max(0.0, inverse[0] * first + inverse[1] * second), max(0.0, inverse[1] * first + inverse[2] * second)
        )
        relation = relation.times(total / max(1.0, sum(relation.of(*row[:2]) for row in rows)))
        misses = sum((row[2] - relation.of(*row[:2])) ** 2 for row in rows)
        return cls(relation=relation, variance=misses / max(1, len(rows) - 2), inverse=inverse)

    def of(self, first: float, second: float, *, calls: int) -> Range:
        """What two things are expected to come to in so many calls."""
        expected = self.relation.of(first, second)
        xx, xy, yy = self.inverse
        # What is not known of the relation, and what each call has of its own.
        doubt = max(0.0, first * first * xx + 2 * first * second * xy + second * second * yy) + calls
        error = _ERRORS * sqrt(self.variance * doubt)
        low = min(expected * (1 - self.below), expected - error)
        return Range(max(0.0, low), expected, max(expected * (1 + self.above), expected + error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What work is expected to take."""

    input: Range
    #: Of the input, as far as it is expected.
    cached_input: float
    cache_write: float
    output: Range
    #: Of all calls one after another; None where none is known.
    seconds: float | None

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            seconds=None if self.seconds is None or other.seconds is None else self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What calls of one kind take."""

    input: Fit
    output: Fit
    #: Tokens of each call that are read from the vendor's cache, and written to it.
    cached_input: float = 0.0
    cache_write: float = 0.0
    #: Tokens that were paid for without an answer, as a share of those with one.
    wasted: float = 0.0
    #: Of one call; None where none is known.
    seconds: float | None = None

    @classmethod
    def like(cls, seen: Sequence[Seen], *, wasted: float) -> Self:
        """As calls that were seen; at least one."""
        return cls(
            input=Fit.to([(call.asked.text, call.asked.around, call.input) for call in seen], USUAL_INPUT),
            output=Fit.to([(call.asked.text, call.asked.episodes, call.usage.output) for call in seen], USUAL_OUTPUT),
            cached_input=fmean(call.usage.cached_input for call in seen),
            cache_write=fmean(call.usage.cache_write for call in seen),
            wasted=wasted,
            seconds=fmean(call.seconds for call in seen) or None,
        )

    def sharing(self) -> "Calls":
        """The same about several episodes, each of which an answer then names."""
        relation = replace(self.output.relation, second=self.output.relation.second + _NAME_TOKENS)
        return replace(self, output=replace(self.output, relation=relation))

    def of(self, work: Work) -> Taken:
        """What work takes."""
        more = 1 + self.wasted
        given = self.input.of(work.text, work.around, calls=work.calls) * more
        cached = min(self.cached_input * work.calls * more, given.low)
        return Taken(
            input=given,
            cached_input=cached,
            cache_write=min(self.cache_write * work.calls * more, given.low - cached),
            output=self.output.of(work.text, work.episodes, calls=work.calls) * more,
            seconds=None if self.seconds is None else self.seconds * work.calls * more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What calls of one connection take."""

    alone: Calls
    packed: Calls
    #: What it rests on, in words.
    basis: str

    @classmethod
    def usual(cls) -> Self:
        """Of a connection of which nothing is known."""
        calls = Calls(
            input=Fit(relation=USUAL_INPUT, below=0.3, above=0.1),
            output=Fit(relation=USUAL_OUTPUT, below=0.5, above=1.0),
        )
        return cls(alone=calls, packed=calls.sharing(), basis="what is usual: nothing is known of this connection yet")

    @classmethod
    def of_averages(cls, *, ratio: float, output: float, deviation: float, answers: int) -> Self:
        """From the moving averages of a meter: input over its estimate, and output of an answer."""
        spread = max(0.1, _ERRORS * 1.25 * deviation / max(1.0, output) / sqrt(min(answers, 50)))
        calls = Calls(
            input=Fit(relation=USUAL_INPUT.times(ratio), below=0.1, above=0.1),
            output=Fit(relation=Relation(0.0, output), below=min(0.9, spread), above=spread),
        )
        return cls(
            alone=calls, packed=calls.sharing(), basis=f"the averages of {answers:,} answers, whatever they were about"
        )

    @classmethod
    def of_calls(cls, seen: Sequence[Seen], *, wasted: int = 0) -> Self:
        """From calls that were answered.

        Args:
            seen: at least one.
            wasted: tokens that were paid for meanwhile without an answer.
        """
        share = wasted / max(1, sum(call.usage.total for call in seen))
        packed = [call for call in seen if call.asked.episodes > 1]
        alone = [call for call in seen if call.asked.episodes == 1]
        words = f"{len(seen):,} calls of this project"
        # Where there are too few of one kind, the others tell enough.
        single = Calls.like(alone if len(alone) >= LEAST_CALLS else seen, wasted=share)
        return cls(
            alone=single,
            packed=Calls.like(packed, wasted=share) if len(packed) >= LEAST_CALLS else single.sharing(),
            basis=f"{words}, {len(packed):,} of them packed" if packed else words,
        )

    def of(self, load: Load) -> Taken:
        """What work takes."""
        if not load.packed.calls:
            return self.alone.of(load.alone)
        if not load.alone.calls:
            return self.packed.of(load.packed)
        return self.alone.of(load.alone) + self.packed.of(load.packed)
