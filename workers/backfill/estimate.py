"""What a backfill will take: jobs, calls, tokens, cost and time, for several ways of doing it side by side. Pure.

Calls are counted by the code that plans and packs them in a worker, and what they take is learned from calls that were
made: the estimate is that of the live path, added up.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from config.prices import price
from tasks.contract import Tier, TokenUsage
from workers import extraction
from workers.admission.health import reads_cache_for_free
from workers.backfill.entries import Entry
from workers.backfill.expectation import Asked, Load, Range, Taken
from workers.backfill.groups import Grouping, joined
from workers.backfill.pace import Limit, Pace, pace
from workers.backfill.standing import Standing
from workers.providers.base import Prompt

#: A plan for no model in particular.
_ANY: Final = sys.maxsize
_MILLION: Final = Decimal(1_000_000)
#: The longest that a batch may take, in seconds: vendors promise an answer within a day.
_BATCH_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class CostRange:
    """USD."""

    low: Decimal
    expected: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way of doing it."""

    standing: Standing
    #: None: each episode has its own prompt, unless its line says otherwise.
    pack_tokens: int | None
    #: None: at the standard tier.
    tier: Tier | None
    jobs: int
    calls: int
    taken: Taken
    #: None where the price is not known.
    cost: CostRange | None
    pace: Pace
    #: Jobs with an episode that has no room in the model.
    too_long: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What was added, and what it will take."""

    entries: int
    episodes: int
    options: Sequence[Option]


@dataclass(slots=True, kw_only=True)
class _Tally:
    """The calls on models with so much room."""

    context: int
    max_output: int
    load: Load = field(default_factory=Load)
    too_long: int = 0


class _Packing:
    """The jobs and calls at one size of packs."""

    def __init__(self, pack_tokens: int | None, rooms: Sequence[tuple[int, int]]) -> None:
        self.pack_tokens = pack_tokens
        self.jobs = 0
        self.tallies = {room: _Tally(context=room[0], max_output=room[1]) for room in rooms}
        self._grouping = Grouping[Entry]()

    def add(self, entry: Entry) -> None:
        if self.pack_tokens is not None and entry.job.pack_tokens is None:
            entry = replace(entry, job=entry.job.model_copy(update={"pack_tokens": self.pack_tokens}))
        self._count(self._grouping.add(entry))

    def end(self) -> None:
        self._count(self._grouping.end())

    def _count(self, group: Sequence[Entry]) -> None:
        if not group:
            return
        self.jobs += 1
        job = joined(group)
        units = extraction.plan(job, context_tokens=_ANY, max_output=_ANY)
        alone = {unit.index: _asked(unit.prompt, [unit]) for unit in units}
        longest = max(asked.text + asked.around for asked in alone.values())
        for tally in self.tallies.values():
            room = {"context_tokens": tally.context, "max_output": tally.max_output}
            tally.too_long += not extraction.has_room(longest, **room)
            for pack in extraction.pack(job, units, done=(), split=(), **room):
                # What is asked alone was counted already: counting tokens is what takes the time here.
                tally.load.add(_asked(pack.prompt, pack.units) if pack.is_shared else alone[pack.index])


def _asked(prompt: Prompt, units: Sequence[extraction.Unit]) -> Asked:
    text = sum(extraction.estimate_tokens(unit.text) for unit in units)
    return Asked(text=text, around=extraction.prompt_tokens(prompt) - text, episodes=len(units))


class Estimator:
    """Adds up entries, and says what they take. Memory does not grow with them."""

    def __init__(
        self,
        standings: Sequence[Standing],
        *,
        packs: Sequence[int | None] = (None,),
        economy: bool = False,
        floor: float,
        now: datetime,
    ) -> None:
        """Prepare.

        Args:
            standings: of the connections that are compared.
            packs: sizes of packs that are compared, in tokens; None: each episode has its own prompt.
            economy: whether to compare the cheaper tiers of the models, too.
            floor: the share of each limit that backfills get beside live jobs.
            now: when it would begin.
        """
        self._standings = standings
        self._economy = economy
        self._floor = floor
        self._now = now
        self._entries = self._episodes = 0
        rooms = list(dict.fromkeys(_room(standing) for standing in standings))
        self._packings = [_Packing(pack_tokens, rooms) for pack_tokens in packs]

    def add(self, entry: Entry) -> None:
        """Count an entry; they come in the order of the file."""
        self._entries += 1
        self._episodes += len(entry.job.episodes)
        for packing in self._packings:
            packing.add(entry)

    def estimate(self, standings: Sequence[Standing] | None = None) -> Estimate:
        """What all entries take; nothing is to be added after that.

        Args:
            standings: of the same connections, where more is known of them by now.
        """
        for packing in self._packings:
            packing.end()
        options = [
            self._option(standing, packing, tier)
            for standing in standings or self._standings
            for packing in self._packings
            for tier in (None, *(standing.model.economy[:1] if self._economy else ()))
        ]
        return Estimate(entries=self._entries, episodes=self._episodes, options=options)

    def _option(self, standing: Standing, packing: _Packing, tier: Tier | None) -> Option:
        tally = packing.tallies[_room(standing)]
        taken = standing.expectation.of(tally.load)
        if tier is Tier.BATCH:
            # Calls of a batch are made apart from each other: what one writes into the cache, no other counts on.
            taken = replace(taken, cached_input=0.0, cache_write=0.0)
        cost = _cost(standing, taken, tally.load.calls, tier=tier, now=self._now)
        return Option(
            standing=standing,
            pack_tokens=packing.pack_tokens,
            tier=tier,
            jobs=packing.jobs,
            calls=tally.load.calls,
            taken=taken,
            cost=cost,
            pace=self._pace(standing, taken, tally.load.calls, cost, tier),
            too_long=tally.too_long,
        )

    def _pace(self, standing: Standing, taken: Taken, calls: int, cost: CostRange | None, tier: Tier | None) -> Pace:
        if tier is Tier.BATCH:
            limits: list[Limit] = []
        else:
            limits = list(_limits(standing, taken, calls))
        found = pace(
            limits,
            floor=self._floor,
            call_seconds=None if tier is Tier.BATCH else taken.seconds,
            at_once=standing.at_once,
            caps=standing.caps,
            cost=cost.expected if cost else None,
            now=self._now,
        )
        if tier is Tier.BATCH and (found.seconds or 0) < _BATCH_SECONDS:
            return Pace(seconds=_BATCH_SECONDS, bound_by="a batch, which may take a day")
        return found


def _room(standing: Standing) -> tuple[int, int]:
    return standing.model.context, standing.model.max_output


def _limits(standing: Standing, taken: Taken, calls: int) -> Iterator[Limit]:
    """What stands in the way of work on a connection, and what it takes of it."""
    provider = standing.link.connection.provider
    given = taken.input.expected - (taken.cached_input if reads_cache_for_free(provider) else 0.0)
    apart = standing.output_tokens is not None
    if standing.tokens:
        yield Limit(
            name="tokens per minute",
            per_minute=standing.tokens.per_minute,
            level=standing.tokens.level,
            needed=given if apart else given + taken.output.expected,
            before=standing.waiting_tokens,
            live=standing.live_input if apart else standing.live_input + standing.live_output,
        )
    if standing.output_tokens:
        yield Limit(
            name="output tokens per minute",
            per_minute=standing.output_tokens.per_minute,
            level=standing.output_tokens.level,
            needed=taken.output.expected,
            live=standing.live_output,
        )
    if standing.requests:
        yield Limit(
            name="requests per minute",
            per_minute=standing.requests.per_minute,
            level=standing.requests.level,
            needed=calls,
            before=standing.waiting_jobs,
            live=standing.live_requests,
        )


def _cost(standing: Standing, taken: Taken, calls: int, *, tier: Tier | None, now: datetime) -> CostRange | None:
    def of(pick: str) -> Decimal | None:
        given, output = _picked(taken.input, pick), _picked(taken.output, pick)
        fresh = max(0.0, given - taken.cached_input - taken.cache_write)
        kinds = {
            "input": fresh,
            "cached_input": taken.cached_input,
            "cache_write": taken.cache_write,
            "output": output,
        }
        # Prices may depend on how long a prompt is, so they are looked up for the average call.
        usage = TokenUsage(**{kind: round(amount / max(1, calls)) for kind, amount in kinds.items()})
        connection = standing.link.connection
        found = price(connection.provider, connection.model, usage=usage, at=now, tier=tier)
        if found is None:
            return None
        return (
            sum((Decimal(round(amount)) * found.rates[kind] for kind, amount in kinds.items()), Decimal(0)) / _MILLION
        )

    low, expected, high = of("low"), of("expected"), of("high")
    return None if low is None or expected is None or high is None else CostRange(low, expected, high)


def _picked(amounts: Range, pick: str) -> float:
    value: float = getattr(amounts, pick)
    return value
