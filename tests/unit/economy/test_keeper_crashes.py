"""A keeper that dies between any two of its steps: nothing is lost, sent twice, or counted twice."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contract import ProviderKind
from tests.unit.economy.conftest import MODELS, TERMS, TEXT, Bench, bench_of
from workers.embedded.simulator import FaultRule, Injection
from workers.embedded.simulator.batches import Result

#: Longer than any lease, and than it takes for what was being sent to be looked for.
_LONG = 2 * TERMS.timeout + 300


class Died(BaseException):
    """The process is gone."""


class Fate:
    """Decides at which step a process dies: before the step has an effect, or after it."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.at = at
        self.after = after
        self.steps = 0

    def step(self) -> bool:
        """Count one; whether the process dies at it."""
        self.steps += 1
        return self.steps == self.at


class Mortal:
    """Passes every call on, unless the process dies at it."""

    def __init__(self, real: Any, fate: Callable[[], Fate]) -> None:
        self._real = real
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            fate = self._fate()
            dies = fate.step()
            if dies and not fate.after:
                raise Died
            answer = await real(*args, **kwargs)
            if dies:
                raise Died
            return answer

        return call


class Story:
    """Jobs that are collected, and keepers that die over them until one does not."""

    def __init__(self, kind: ProviderKind, *, jobs: int, episodes: int) -> None:
        self.bench: Bench = bench_of(kind)
        self.fate = Fate()
        self.bench.wrap = lambda real: Mortal(real, lambda: self.fate)
        self.bench.keeper = self.bench.new_keeper()
        self.episodes = episodes
        self.ids = [self.bench.collect(*[f"{TEXT} (note {n})" for n in range(episodes)]) for _ in range(jobs)]

    async def round(self, seconds: float, fate: Fate) -> bool:
        """Time passes and the keeper comes round; whether it lived."""
        self.fate = fate
        try:
            await self.bench.pass_time(seconds)
        except Died:
            self.bench.keeper = self.bench.new_keeper()
            return False
        return True

    async def live(self, first: Fate, second: Fate, third: Fate) -> None:
        """A round that gathers and sends, one after that, and then one that reads; each may be the keeper's last."""
        await self.round(TERMS.gather, first)
        await self.round(_LONG, second)
        self.bench.core.batches.end(done=None, rest=Result.EXPIRED)
        await self.round(_LONG, third)
        for _ in range(6):
            self.bench.core.batches.end(done=None, rest=Result.EXPIRED)
            await self.round(_LONG, Fate())

    def check(self) -> None:
        bench = self.bench
        back = Counter(given.job_id for given in bench.pool.given_back)
        assert back == Counter(self.ids)
        assert len({record.id for record in bench.records}) == len(bench.records) == len(self.ids) * self.episodes
        asked = [entry for entry in bench.core.books.report([], entries=9_999).entries if entry.tier == "batch"]
        assert len(asked) == len(bench.records)
        assert sum(record.usage.total for record in bench.records) == sum(entry.usage.total for entry in asked)
        cost = sum(float(record.cost_usd or 0) for record in bench.records)
        assert float(bench.spent()) / 1e12 == pytest.approx(cost, rel=1e-6)


async def steps_of(kind: ProviderKind) -> list[int]:
    """How many steps each round of an undisturbed life has."""
    story = Story(kind, jobs=2, episodes=1)
    fates = [Fate(), Fate(), Fate()]
    await story.live(*fates)
    story.check()
    return [fate.steps for fate in fates]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.value)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_step_is_a_keepers_last(kind: ProviderKind, *, after: bool) -> None:
    steps = await steps_of(kind)
    assert sum(steps) > 30
    for place, number in enumerate(steps):
        for at in range(1, number + 1):
            fates = [Fate(), Fate(), Fate()]
            fates[place] = Fate(at, after=after)
            story = Story(kind, jobs=2, episodes=1)

            await story.live(*fates)

            story.check()
            assert all(story.bench.back().values()), (place, at)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
async def test_keepers_that_die_again_and_again_over_batches_in_which_things_go_wrong(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(MODELS)))
    jobs, episodes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    story = Story(kind, jobs=jobs, episodes=episodes)
    wrongs = st.sampled_from([Injection.STATUS, Injection.REFUSAL, Injection.MALFORMED, Injection.HANG])
    for number in range(data.draw(st.integers(0, 2))):
        wrong = data.draw(wrongs)
        status = {"status": 500} if wrong is Injection.STATUS else {}
        story.bench.core.faults.add(
            FaultRule.model_validate({"kind": wrong, "tier": "batch", "text": f"note {number}", "count": 1, **status})
        )
    died = 0
    for _ in range(data.draw(st.integers(1, 6))):
        fate = Fate(data.draw(st.integers(1, 40)), after=data.draw(st.booleans()))
        died += not await story.round(data.draw(st.sampled_from([1.0, TERMS.gather, _LONG])), fate)
        if data.draw(st.booleans()):
            story.bench.core.batches.end(done=None, rest=Result.EXPIRED)

    await story.live(Fate(), Fate(), Fate())

    story.check()
