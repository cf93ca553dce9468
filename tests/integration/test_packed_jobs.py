"""Jobs whose episodes share prompts, on a real worker and through two kinds of provider."""

from collections.abc import Iterator
from typing import Any

import pytest

from tasks.contract import ExtractionResult, FailureCode, JobStatus
from tests.integration.support.pool import Pool, running_pool
from workers.embedded.simulator import FaultRule, Injection
from workers.enqueue.producer import Producer

pytestmark = pytest.mark.integration

PEOPLE = ("Ada", "Bea", "Cid", "Dora", "Emil", "Fay", "Gil", "Hal")
PLACES = ("Lisbon", "Porto", "Rome", "Oslo", "Turin", "Ghent", "Lyon", "Bern")
#: The one has OpenAI, with a compatible server behind it; the other has Claude alone.
projects = pytest.mark.parametrize("project", ["acme", "claudes"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool")) as pool:
        pool.add_project(
            "claudes",
            provider="anthropic",
            model="claude-haiku-4-5",
            base_url=pool.simulator.base_urls["anthropic"],
        )
        pool.start_worker()
        yield pool


@pytest.fixture
def pool(running: Pool) -> Pool:
    running.simulator.clear_faults()
    running.simulator.reset()
    running.forget_meters()
    return running


@pytest.fixture
def producer(pool: Pool) -> Iterator[Producer]:
    with pool.producer() as producer:
        yield producer


def text_of(number: int) -> str:
    return f"{PEOPLE[number]} moved to {PLACES[number]}."


def packed(project: str, **changes: Any) -> dict[str, Any]:
    episodes = [{"id": f"x{number}", "content": text_of(number)} for number in range(len(PEOPLE))]
    return {"project": project, "episodes": episodes, "pack_tokens": 1_000} | changes


def assert_own_memories(result: ExtractionResult, *, but: frozenset[int] = frozenset()) -> None:
    for number, episode in enumerate(result.episodes):
        facts = [(fact.subject, fact.object, fact.evidence) for fact in episode.facts]
        # The rules quote a statement without its full stop.
        expected = [] if number in but else [(PEOPLE[number], PLACES[number], text_of(number).rstrip("."))]
        assert facts == expected
        assert (episode.failure is not None) is (number in but)


def assert_billed_as_counted(pool: Pool, result: ExtractionResult) -> None:
    billed, tokens = pool.simulator.books().billed, result.usage.tokens
    assert (tokens.input, tokens.cached_input, tokens.cache_write, tokens.output) == (
        billed.input,
        billed.cached_input,
        billed.cache_write,
        billed.output,
    )


@projects
def test_eight_episodes_take_one_call_and_less_input(pool: Pool, producer: Producer, project: str) -> None:
    apart = producer.enqueue(packed(project, pack_tokens=None)).result(timeout=60)
    pool.simulator.reset()
    together = producer.enqueue(packed(project)).result(timeout=60)

    assert_own_memories(apart)
    assert_own_memories(together)
    assert (apart.usage.attempts, together.usage.attempts) == (8, 1)
    assert pool.simulator.books().served == 1
    assert_billed_as_counted(pool, together)
    saved = apart.usage.tokens.total - apart.usage.tokens.output
    saved -= together.usage.tokens.total - together.usage.tokens.output
    assert saved > 0
    assert together.usage.tokens_saved is not None
    assert together.usage.tokens_saved == pytest.approx(saved, rel=0.1)
    assert [one.prompt_version for one in together.provenance] == ["1-packed"]


@projects
def test_an_episode_that_spoils_its_pack_is_asked_about_alone(pool: Pool, producer: Producer, project: str) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.SPOILED_PART, count=1))

    result = producer.enqueue(packed(project)).result(timeout=60)

    assert result.status is JobStatus.SUCCEEDED
    assert_own_memories(result)
    assert [(one.attempt, one.action, one.packed) for one in result.attempts] == [
        ("1.1.1", "split", 8),
        ("1.1.2", "done", None),
    ]
    assert_billed_as_counted(pool, result)


@projects
def test_one_refused_episode_does_not_take_the_others_with_it(pool: Pool, producer: Producer, project: str) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.REFUSAL, text="Dora"))

    result = producer.enqueue(packed(project)).result(timeout=60)

    assert result.status is JobStatus.PARTIAL
    assert_own_memories(result, but=frozenset({3}))
    failure = result.episodes[3].failure
    assert failure is not None
    assert (failure.code, failure.episode_id) == (FailureCode.CONTENT_REFUSED, "x3")
    # The pack and eight alone, and what was refused once more on the fallback, where there is one.
    assert result.usage.attempts == 9 + (project == "acme")
    assert_billed_as_counted(pool, result)


def test_the_fallback_is_asked_about_the_refused_episode_only(pool: Pool, producer: Producer) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.REFUSAL, text="Dora", prefix="/openai/"))

    result = producer.enqueue(packed("acme")).result(timeout=60)

    assert result.status is JobStatus.SUCCEEDED
    assert_own_memories(result)
    assert [one.connection for one in result.attempts] == ["primary"] * 9 + ["backup"]
    assert_billed_as_counted(pool, result)
