"""Whatever is sent, the answer is a job or a refusal."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contract import ExtractionJob, JobRefused, parse_job
from tests.unit.contract.cases import episode, job

#: Text with everything in it that JSON can carry, lone surrogates included.
TEXT = st.text(st.characters(codec=None) | st.characters(categories=["Cs"]), max_size=30)
NUMBERS = st.integers() | st.floats()
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FULL = job(
    episodes=[
        episode(kind="message", speaker="Ada", role="user", reference_time="2026-05-04T10:00:00+02:00"),
        episode(id="e2", kind="json", content={"a": [1, {"b": None}]}),
    ],
    context=[episode(id="c1")],
    entity_types=[{"name": "City", "description": "A city"}],
    idempotency_key="key",
    instructions="Only cities.",
    language="pt-BR",
    labels={"team": "search"},
    callback_url="https://example.com/done",
)
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(document: Any) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [(), *((key, *rest) for key, value in items for rest in places(value))]


def value_at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def with_value_at(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = document.copy()
    changed[path[0]] = with_value_at(document[path[0]], path[1:], value)
    return changed


def parsed(payload: Any) -> ExtractionJob | None:
    """The job, or None when it was refused; any other exception is a fault."""
    try:
        return parse_job(payload)
    except JobRefused as refused:
        json.dumps(refused.args, ensure_ascii=False).encode()  # fails if the refusal itself cannot be sent on
        return None


@RELAXED
@given(JSON)
def test_any_json_is_a_job_or_a_refusal(payload: Any) -> None:
    parsed(payload)


@RELAXED
@given(TEXT | st.binary(max_size=50) | JSON.map(json.dumps))
def test_any_text_is_a_job_or_a_refusal(payload: str | bytes) -> None:
    parsed(payload)


@RELAXED
@given(st.sampled_from(places(FULL)), JSON)
def test_a_job_with_one_value_replaced_is_a_job_or_a_refusal(path: tuple[Any, ...], value: Any) -> None:
    parsed(with_value_at(FULL, path, value))


@RELAXED
@given(st.sampled_from([path for path in places(FULL) if isinstance(value_at(FULL, path), dict)]), TEXT, JSON)
def test_a_job_with_one_key_added_is_a_job_or_a_refusal(path: tuple[Any, ...], key: str, value: Any) -> None:
    parsed(with_value_at(FULL, path, {**value_at(FULL, path), key: value}))


@RELAXED
@given(st.sampled_from(places(FULL)), JSON)
def test_what_was_accepted_survives_the_broker(path: tuple[Any, ...], value: Any) -> None:
    accepted = parsed(with_value_at(FULL, path, value))
    if accepted is not None:
        message = json.dumps(accepted.model_dump(mode="json", exclude_unset=True)).encode()

        assert parse_job(message) == accepted
        assert parse_job(json.loads(message)) == accepted


def test_the_full_job_is_accepted_so_that_replacing_a_value_tests_that_value() -> None:
    assert parsed(FULL) is not None


@pytest.mark.parametrize("form", [list, tuple])
def test_sequences_of_any_kind_are_read(form: Any) -> None:
    assert parsed(job(episodes=form([episode()]))) is not None
