import json
from collections.abc import Callable
from typing import Any

import pytest

from tasks.contract import ExtractionJob
from workers.extraction import PromptTooLong, estimate_tokens, plan
from workers.extraction.plan import LEAST_OUTPUT
from workers.providers.base import FaultKind

Make = Callable[..., ExtractionJob]

LONG = "Nothing much has happened on that day, they say. " * 1_000


def job_of(*contents: Any, **rest: Any) -> ExtractionJob:
    episodes = [
        {"id": f"e{number}", "content": content, "kind": "text" if isinstance(content, str) else "json"}
        for number, content in enumerate(contents, start=1)
    ]
    return ExtractionJob.model_validate({"project": "acme", "episodes": episodes, **rest})


def test_short_episodes_are_one_unit_each_in_the_jobs_order() -> None:
    job = job_of("One.", {"two": 2}, "Three.")

    units = plan(job, context_tokens=32_000, max_output=8_000)

    assert [(unit.index, unit.episode.id, unit.part, unit.parts, unit.text) for unit in units] == [
        (1, "e1", 1, 1, "One."),
        (2, "e2", 1, 1, '{"two":2}'),
        (3, "e3", 1, 1, "Three."),
    ]


def test_a_long_episode_is_several_units_that_say_so() -> None:
    units = plan(job_of("One.", LONG, "Three."), context_tokens=128_000, max_output=16_000)

    parts = [unit for unit in units if unit.episode.id == "e2"]
    assert [unit.index for unit in units] == list(range(1, len(units) + 1))
    assert [unit.part for unit in parts] == list(range(1, len(parts) + 1))
    assert {unit.parts for unit in parts} == {len(parts)}
    assert f"part 2 of {len(parts)}" in parts[1].prompt.user
    assert all(unit.text in LONG and unit.text in unit.prompt.user for unit in parts)
    assert "part 1" not in units[0].prompt.user


def test_another_model_gets_the_same_units() -> None:
    job = job_of("One.", LONG, {"list": ["x" * 50] * 2_000}, instructions="Ships only.")
    again = ExtractionJob.model_validate_json(job.model_dump_json())

    small, large = (plan(job, context_tokens=size, max_output=size // 4) for size in (32_000, 1_000_000))
    redelivered = plan(again, context_tokens=32_000, max_output=8_000)

    def meaning(units: list[Any]) -> list[Any]:
        return [
            (unit.index, unit.episode, unit.part, unit.text, unit.prompt.user, unit.prompt.system) for unit in units
        ]

    assert meaning(small) == meaning(large) == meaning(redelivered)


@pytest.mark.parametrize(
    ("content", "max_output", "room"),
    [
        ("Hi.", 64_000, LEAST_OUTPUT + 2 * estimate_tokens("Hi.")),
        ("Hi.", 512, 512),
        ("word " * 2_000, 64_000, LEAST_OUTPUT + 2 * estimate_tokens("word " * 2_000)),
        ("word " * 2_000, 4_096, 4_096),
    ],
)
def test_room_for_the_answer_grows_with_the_chunk_within_what_the_model_can_write(
    content: str, max_output: int, room: int
) -> None:
    (unit,) = plan(job_of(content), context_tokens=128_000, max_output=max_output)

    assert unit.prompt.max_output_tokens == room


def test_prompt_and_answer_fit_the_model_by_the_tokenisers_own_count(count_tokens: Callable[[str], int]) -> None:
    units = plan(job_of(LONG, "語" * 10_000), context_tokens=8_192, max_output=8_192)

    for unit in units:
        static = count_tokens(unit.prompt.system) + count_tokens(json.dumps(unit.prompt.schema))
        used = static + count_tokens(unit.prompt.user) + unit.prompt.max_output_tokens
        assert used <= 8_192
        assert unit.prompt.max_output_tokens >= LEAST_OUTPUT


@pytest.mark.parametrize(
    ("job", "context_tokens"),
    [
        (job_of("Hi."), 1_500),
        (job_of("Fine.", LONG), 4_096),
        (job_of("Hi.", instructions="語" * 4_000), 5_000),
        (job_of("Hi.", context=[{"id": "c", "content": "語" * 3_000}]), 3_500),
        (job_of("Hi.", entity_types=[{"name": f"t{n}", "description": "d" * 500} for n in range(50)]), 8_192),
    ],
    ids=["static", "chunk", "instructions", "context", "types"],
)
def test_a_job_that_does_not_fit_is_refused_with_what_to_do(job: ExtractionJob, context_tokens: int) -> None:
    with pytest.raises(PromptTooLong) as caught:
        plan(job, context_tokens=context_tokens, max_output=4_000)

    message = str(caught.value)
    assert caught.value.kind is FaultKind.CONTEXT_TOO_LONG
    assert f"project 'acme': episode '{job.episodes[-1].id}'" in message
    assert str(context_tokens) in message
    assert "choose a model with a larger context, or shorten" in message
    assert "語" not in message


def test_room_is_left_for_vocabularies_that_count_more() -> None:
    job = job_of("I moved to Rome.")
    (unit,) = plan(job, context_tokens=32_000, max_output=8_000)
    prompt = unit.prompt
    counted = estimate_tokens(prompt.system + json.dumps(prompt.schema) + prompt.user)

    with pytest.raises(PromptTooLong):
        plan(job, context_tokens=int(1.2 * counted) + LEAST_OUTPUT, max_output=8_000)


def test_a_short_message_fits_a_model_with_four_thousand_tokens() -> None:
    (unit,) = plan(job_of("I moved to Rome."), context_tokens=4_096, max_output=4_096)

    assert unit.prompt.max_output_tokens >= LEAST_OUTPUT


def test_texts_stay_out_of_logs() -> None:
    (unit,) = plan(job_of("my-private-text"), context_tokens=32_000, max_output=8_000)

    assert "my-private-text" not in repr(unit)
