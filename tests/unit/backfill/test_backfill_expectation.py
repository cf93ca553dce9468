"""What calls take is learned from calls: exactly where they follow a rule, and with a range where they do not."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import TokenUsage
from workers.backfill.expectation import Asked, Expectation, Load, Range, Seen


def seen(text: int, *, output: float, episodes: int = 1, ratio: float = 0.8, cached: int = 0) -> Seen:
    asked = Asked(text=text, around=1_280, episodes=episodes)
    given = round(ratio * text + 0.75 * 1_280)
    usage = TokenUsage(input=given - cached, cached_input=cached, output=round(output))
    return Seen(asked=asked, usage=usage, seconds=0.5)


def load(*texts: int, episodes: int = 1) -> Load:
    made = Load()
    for text in texts:
        made.add(Asked(text=text, around=1_280, episodes=episodes))
    return made


def spread(found: Range) -> float:
    return (found.high - found.low) / found.expected


def test_a_rule_that_calls_follow_is_found_and_holds_for_longer_episodes_too() -> None:
    calls = [seen(text, output=40 + 2 * text) for text in range(10, 400)]

    taken = Expectation.of_calls(calls).of(load(*[2_000] * 100))

    assert taken.output.expected == pytest.approx(100 * (40 + 2 * 2_000), rel=0.03)
    assert taken.input.expected == pytest.approx(100 * (0.8 * 2_000 + 0.75 * 1_280), rel=0.02)
    assert taken.output.low <= 100 * (40 + 2 * 2_000) <= taken.output.high


@given(
    st.lists(st.tuples(st.integers(1, 3_000), st.integers(1, 3_000)), min_size=5, max_size=60),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=30),
)
def test_what_was_seen_is_met_in_sum_and_nothing_is_below_nothing(
    rows: Sequence[tuple[int, int]], texts: Sequence[int]
) -> None:
    expectation = Expectation.of_calls([seen(text, output=output) for text, output in rows])

    same = expectation.of(load(*(text for text, _ in rows)))
    other = expectation.of(load(*texts))

    assert same.output.expected == pytest.approx(sum(output for _, output in rows), rel=0.01)
    for found in (other.input, other.output):
        assert 0 <= found.low <= found.expected <= found.high


def test_more_calls_make_the_range_narrower_and_it_holds_what_comes() -> None:
    rng = random.Random(5)  # noqa: S311 - no secret is made of it

    def noisy(count: int) -> list[Seen]:
        return [seen(text, output=(40 + text) * rng.uniform(0.3, 1.7)) for text in rng.choices(range(10, 300), k=count)]

    few, many = Expectation.of_calls(noisy(30)), Expectation.of_calls(noisy(2_000))
    to_come = noisy(1_000)
    work = load(*(call.asked.text for call in to_come))
    output = sum(call.usage.output for call in to_come)

    assert many.of(work).output.low < output < many.of(work).output.high
    assert few.of(work).output.low < output < few.of(work).output.high
    assert spread(many.of(work).output) < spread(few.of(work).output) / 2
    assert many.of(work).output.expected == pytest.approx(output, rel=0.05)


def test_answers_to_episodes_of_one_length_say_little_of_others() -> None:
    rng = random.Random(6)  # noqa: S311 - as above
    expectation = Expectation.of_calls([seen(50, output=rng.uniform(50, 150)) for _ in range(200)])

    alike, longer = expectation.of(load(*[50] * 1_000)), expectation.of(load(*[1_000] * 1_000))

    assert spread(alike.output) < 0.12
    assert spread(longer.output) > 2 * spread(alike.output)
    assert longer.output.expected > 2 * alike.output.expected


def test_packs_are_reckoned_by_packs_where_some_were_made() -> None:
    alone = [seen(text, output=100) for text in range(20, 60)]
    packs = [seen(400, output=3_000, episodes=10) for _ in range(10)]
    work = load(400, 400, episodes=10)

    assert Expectation.of_calls([*alone, *packs]).of(work).output.expected == pytest.approx(6_000, rel=0.01)
    # As ten answers alone, and their names.
    untried = Expectation.of_calls(alone).of(work).output.expected
    assert 20 * 100 < untried < 20 * 115
    assert Expectation.of_calls([*alone, *packs]).of(load(40)).output.expected == pytest.approx(100, rel=0.05)


def test_work_of_both_kinds_is_added_up() -> None:
    calls = [seen(text, output=100) for text in range(20, 60)]
    expectation = Expectation.of_calls(calls)
    both, alone, packed = load(40), load(40), load(400, episodes=10)
    both.add(Asked(text=400, around=1_280, episodes=10))

    sums = expectation.of(alone) + expectation.of(packed)

    assert expectation.of(both) == sums
    assert (sums.seconds, both.calls) == (1.0, 2)


def test_what_the_cache_gave_it_gives_again_but_never_more_than_there_is() -> None:
    taken = Expectation.of_calls([seen(100, output=50, cached=900) for _ in range(20)]).of(load(*[100] * 10))

    assert taken.cached_input == pytest.approx(9_000)
    assert taken.cached_input < taken.input.low


def test_what_was_paid_for_without_an_answer_is_paid_for_again() -> None:
    calls = [seen(100, output=100) for _ in range(20)]
    total = sum(call.usage.total for call in calls)

    plain, wasteful = (Expectation.of_calls(calls, wasted=wasted).of(load(100)) for wasted in (0, total // 4))

    assert wasteful.output.expected == pytest.approx(1.25 * plain.output.expected)
    assert wasteful.input.expected == pytest.approx(1.25 * plain.input.expected)


@pytest.mark.parametrize(
    ("make", "output", "words"),
    [
        (Expectation.usual, 10 * (300 + 100), "nothing is known"),
        (
            lambda: Expectation.of_averages(ratio=0.8, output=70, deviation=20, answers=40),
            700,
            "averages of 40 answers",
        ),
    ],
)
def test_without_calls_there_are_averages_or_what_is_usual(
    make: Callable[[], Expectation], output: float, words: str
) -> None:
    expectation = make()

    taken = expectation.of(load(*[300] * 10))

    assert taken.output.expected == output
    assert taken.output.low < 0.95 * output < 1.05 * output < taken.output.high
    assert words in expectation.basis
    assert taken.seconds is None
