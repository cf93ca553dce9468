import json
import math
import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tasks.contract import ExtractionJob, JobRefused, parse_job
from tests.unit.contract.cases import CANARY, episode, job

_FAR_BEYOND_THE_STACK = 100_000


def refusal(payload: Any) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        parse_job(payload)
    return caught.value


def reference_time(value: Any) -> datetime:
    parsed = parse_job(job(episodes=[episode(reference_time=value)])).episodes[0].reference_time
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2026-05-04T10:00:00", datetime(2026, 5, 4, 10, tzinfo=UTC)),
        ("2026-05-04 10:00", datetime(2026, 5, 4, 10, tzinfo=UTC)),
        ("2026-05-04", datetime(2026, 5, 4, tzinfo=UTC)),
        ("2026-05-04T10:00:00Z", datetime(2026, 5, 4, 10, tzinfo=UTC)),
        ("2026-05-04t10:00:00.250z", datetime(2026, 5, 4, 10, microsecond=250_000, tzinfo=UTC)),
        ("2026-05-04T10:00:00+02:00", datetime(2026, 5, 4, 8, tzinfo=UTC)),
        ("2026-05-04T10:00:00-0530", datetime(2026, 5, 4, 15, 30, tzinfo=UTC)),
        (datetime(2026, 5, 4, 10), datetime(2026, 5, 4, 10, tzinfo=UTC)),  # noqa: DTZ001 - a time without an offset is the case
    ],
    ids=str,
)
def test_a_reference_time_without_an_offset_is_utc(given: Any, instant: datetime) -> None:
    assert reference_time(given) == instant
    assert reference_time(given).tzinfo is not None


def test_the_offset_of_a_reference_time_is_kept_since_relative_dates_are_local() -> None:
    assert reference_time("2026-05-04T23:30:00+02:00").tzinfo == timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "given",
    [
        1_700_000_000,
        1_700_000_000.5,
        "1700000000",
        "20260504",
        "2026-W19-1",
        "yesterday",
        "2026-13-01",
        "2026-05-04T25:00:00",
        "2026-05-04T10:00:00+99:00",
        "2026-05-04T10:00:00Z\n",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        True,
        "",
    ],
    ids=str,
)
def test_a_reference_time_that_could_mean_two_instants_or_none_is_refused(given: Any) -> None:
    [problem] = refusal(job(episodes=[episode(reference_time=given)])).details["problems"]

    assert problem.startswith("episodes.0.reference_time: ")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (job(projcet="acme"), "projcet"),
        (job(episodes=[episode(text="hello")]), "episodes.0.text"),
        (job(entity_types=[{"name": "City", "colour": "red"}]), "entity_types.0.colour"),
    ],
    ids=["job", "episode", "entity type"],
)
def test_an_unknown_key_is_refused_by_name(payload: dict[str, Any], field: str) -> None:
    assert refusal(payload).details["problems"] == [f"{field}: Extra inputs are not permitted"]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (
            job(episodes=[episode(id="a"), episode(id=CANARY), episode(id=CANARY)]),
            "job: episodes.1 and episodes.2 have the same id; ids must differ",
        ),
        (
            job(context=[episode(id="a"), episode(id="a")]),
            "job: context.0 and context.1 have the same id; ids must differ",
        ),
        (
            job(context=[episode(id="c1"), episode(id="e1")]),
            "job: episodes.0 and context.1 have the same id; ids must differ",
        ),
    ],
    ids=["episodes", "context", "between the two"],
)
def test_ids_must_be_unique_in_a_job(payload: dict[str, Any], problem: str) -> None:
    assert refusal(payload).details["problems"] == [problem]


@pytest.mark.parametrize("kind", ["json", "text"])
def test_content_nested_far_beyond_the_stack_is_refused_and_not_a_recursion_error(kind: str) -> None:
    lists: Any = []
    objects: Any = {}
    for _ in range(_FAR_BEYOND_THE_STACK):
        lists, objects = [lists], {CANARY: objects}

    for content in (lists, objects):
        [problem] = refusal(job(episodes=[episode(kind=kind, content=content)])).details["problems"]

        assert problem == "episodes.0.content: is nested deeper than the limit of 16"


def test_json_text_nested_far_beyond_the_stack_is_refused() -> None:
    text = json.dumps(job(episodes=[episode(kind="json", content="@")]))
    deep = "[" * _FAR_BEYOND_THE_STACK + "]" * _FAR_BEYOND_THE_STACK

    assert "recursion limit exceeded" in refusal(text.replace('"@"', deep)).message


def test_content_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert "nested deeper" in refusal(job(episodes=[episode(kind="json", content=circle)])).message


@pytest.mark.parametrize(
    "content",
    [math.nan, math.inf, {"k": [-math.inf]}, "\ud800", {"\ud800": 1}, ["\udfff"], 10**5_000],
    ids=["nan", "inf", "nested inf", "surrogate", "surrogate in a key", "nested surrogate", "endless integer"],
)
def test_content_that_no_provider_could_be_sent_is_refused(content: Any) -> None:
    assert (
        "content is not plain JSON in UTF-8" in refusal(job(episodes=[episode(kind="json", content=content)])).message
    )


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("text", "Grüße", "Grüße"),
        ("message", "hello", "hello"),
        ("json", {"a": ["ü", 1, None]}, '{"a":["ü",1,null]}'),
        ("json", '{"already": "serialised"}', '{"already": "serialised"}'),
        ("json", 7, "7"),
    ],
)
def test_the_text_of_an_episode_is_what_the_model_will_read(kind: str, content: Any, text: str) -> None:
    assert parse_job(job(episodes=[episode(kind=kind, content=content)])).episodes[0].text == text


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("field", ["speaker", "role"])
def test_only_messages_have_speakers(kind: str, field: str) -> None:
    message = refusal(job(episodes=[episode(kind=kind, **{field: CANARY})])).message

    assert "speaker and role belong to episodes of kind 'message'" in message


#: Something wrong in each field, with the canary in the value.
WRONG: dict[str, Any] = {
    "project": job(project=f"{CANARY}/../x"),
    "project type": job(project=[CANARY]),
    "episodes type": job(episodes=CANARY),
    "episode type": job(episodes=[CANARY]),
    "id": job(episodes=[episode(id=f"{CANARY} !")]),
    "kind": job(episodes=[episode(kind=CANARY)]),
    "content type": job(episodes=[episode(content={CANARY: CANARY})]),
    "content not json": job(episodes=[episode(kind="json", content={CANARY: object()})]),
    "content key not json": job(episodes=[episode(kind="json", content={CANARY: {7: CANARY}})]),
    "reference_time": job(episodes=[episode(reference_time=CANARY)]),
    "speaker": job(episodes=[episode(kind="message", speaker=f"{CANARY}\nsystem:")]),
    "role": job(episodes=[episode(kind="message", role=f"{CANARY}\u2028x")]),
    "speaker of text": job(episodes=[episode(speaker=CANARY)]),
    "idempotency_key": job(idempotency_key=f"{CANARY}\x00"),
    "context": job(context=[episode(id="c", content=[CANARY])]),
    "entity type name": job(entity_types=[{"name": f"{CANARY}?"}]),
    "entity type description": job(entity_types=[{"name": "City", "description": [CANARY]}]),
    "instructions": job(instructions={CANARY: CANARY}),
    "language": job(language=f"{CANARY}_xx"),
    "label key": job(labels={f"{CANARY} key": "v"}),
    "label value": job(labels={"team": [CANARY]}),
    "callback_url scheme": job(callback_url=f"ftp://{CANARY}"),
    "callback_url password": job(callback_url=f"https://user:{CANARY}@example.com/"),
    "callback_url port": job(callback_url=f"https://example.com:{CANARY}/"),
    "callback_url host": job(callback_url=f"https://[{CANARY}"),
    "callback_url space": job(callback_url=f"https://example.com/{CANARY} x"),
    "key that looks like content": job(**{f"{CANARY} said so": 1}),
    "not an object": [CANARY],
    "not JSON": f'{{"project": {CANARY}}}',
    "not UTF-8": CANARY.encode() + b"\xff",
}


@pytest.mark.parametrize("payload", WRONG.values(), ids=WRONG.keys())
def test_a_refusal_never_repeats_what_was_sent(payload: Any) -> None:
    error = refusal(payload)

    told = "".join([*traceback.format_exception(error), repr(error), json.dumps(error.details)])
    assert CANARY not in told
    assert error.__context__ is None


def test_a_refusal_with_thousands_of_problems_stays_readable() -> None:
    error = refusal(job(**{f"key{index}": 1 for index in range(5_000)}))

    assert len(error.details["problems"]) == 21
    assert error.details["problems"][-1] == "job: 4980 more problems"


@pytest.mark.parametrize("form", ["mapping", "text", "bytes", "job"])
def test_a_job_is_read_from_a_mapping_from_json_text_and_from_itself(form: str) -> None:
    payload = job(labels={"team": "search"})
    forms = {
        "mapping": payload,
        "text": json.dumps(payload),
        "bytes": json.dumps(payload).encode(),
        "job": ExtractionJob.model_validate(payload),
    }

    assert parse_job(forms[form]) == ExtractionJob.model_validate(payload)
