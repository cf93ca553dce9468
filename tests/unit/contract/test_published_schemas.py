import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tasks.contract import ExtractionResult, Failure, JobRefused, json_schema, parse_job
from tests.unit.contract.cases import CANARY, LIMIT_CASES, LimitCase, episode, job
from workers.cli.schema import PUBLISHED, published_schema

FIXTURES = Path(__file__).parents[2] / "fixtures"
FROZEN = FIXTURES / "schemas"
PAYLOADS = FIXTURES / "payloads" / "v1"

IN_SCHEMA = pytest.mark.parametrize(
    "case", [case for case in LIMIT_CASES if case.in_schema], ids=lambda case: f"{case.limit} of {case.field}"
)


def fits(schema: str, document: Any) -> bool:
    return bool(Draft202012Validator(json_schema(schema)).is_valid(document))


def accepted(payload: Any) -> bool:
    try:
        parse_job(payload)
    except JobRefused:
        return False
    return True


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_does_not_change_by_accident(name: str) -> None:
    written = json.dumps(published_schema(name), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    assert (FROZEN / f"{name}.json").read_text(encoding="utf-8") == written, (
        f"the schema {name} changed. If old documents stay readable, publish it with: "
        "byom schema --dir tests/fixtures/schemas. If not, it is a new version, such as byom.extract.v2"
    )


def test_the_command_that_publishes_writes_these_very_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "workers.cli", "schema", "--dir", str(tmp_path)], check=True, timeout=60)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in FROZEN.iterdir()
    }


def test_nothing_else_is_published() -> None:
    assert {path.name for path in FROZEN.iterdir()} == {f"{name}.json" for name in PUBLISHED}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_is_itself_valid(name: str) -> None:
    Draft202012Validator.check_schema(published_schema(name))


@IN_SCHEMA
def test_schema_and_code_draw_the_same_line(case: LimitCase) -> None:
    for size, expected in ((case.bound, True), (case.bound + 1, False)):
        payload = case.build(size)

        assert (fits("extraction-job.v1", payload), accepted(payload)) == (expected, expected)


GOOD: dict[str, Any] = {
    "minimal": job(),
    "nulls for what is absent": job(idempotency_key=None, instructions=None, language=None, callback_url=None),
    "empty lists": job(context=[], entity_types=[], labels={}),
    "message": job(episodes=[episode(kind="message", speaker="Ada", role="user")]),
    "text without speaker": job(episodes=[episode(kind="text", speaker=None)]),
    "json object": job(episodes=[episode(kind="json", content={"a": [1, None]})]),
    "json number": job(episodes=[episode(kind="json", content=0)]),
    "json string": job(episodes=[episode(kind="json", content='{"a": 1}')]),
    "time without offset": job(episodes=[episode(reference_time="2026-05-04T10:00:00")]),
    "time with offset": job(episodes=[episode(reference_time="2026-05-04T10:00:00.5+02:00")]),
    "date": job(episodes=[episode(reference_time="2026-05-04")]),
    "url with port": job(callback_url="http://127.0.0.1:8000/done?x=1"),
    "url with ipv6": job(callback_url="https://[::1]/"),
}
BAD: dict[str, Any] = {
    "no project": {"episodes": [episode()]},
    "no episodes": {"project": "acme"},
    "empty episodes": job(episodes=[]),
    "unknown key": job(later=1),
    "unknown key of an episode": job(episodes=[episode(later=1)]),
    "project with a slash": job(project="a/b"),
    "project that starts with a dot": job(project=".."),
    "number for text": job(episodes=[episode(content=7)]),
    "object for a message": job(episodes=[episode(kind="message", content={"a": 1})]),
    "empty text": job(episodes=[episode(content="")]),
    "blank text": job(episodes=[episode(content=" \n")]),
    "empty object": job(episodes=[episode(kind="json", content={})]),
    "empty array": job(episodes=[episode(kind="json", content=[])]),
    "null content": job(episodes=[episode(kind="json", content=None)]),
    "no content": job(episodes=[{"id": "e1"}]),
    "unknown kind": job(episodes=[episode(kind="audio")]),
    "speaker of a text": job(episodes=[episode(speaker="Ada")]),
    "role of json": job(episodes=[episode(kind="json", content={"a": 1}, role="user")]),
    "empty speaker": job(episodes=[episode(kind="message", speaker="")]),
    "speaker of two lines": job(episodes=[episode(kind="message", speaker="Ada\nBob")]),
    "unix time": job(episodes=[episode(reference_time=1_700_000_000)]),
    "time in words": job(episodes=[episode(reference_time="yesterday")]),
    "label key with a space": job(labels={"a b": "c"}),
    "label value not text": job(labels={"a": 1}),
    "language of one letter": job(language="x"),
    "url without host": job(callback_url="https://"),
    "url with a password": job(callback_url="https://ada:secret@example.com/"),
    "url of another scheme": job(callback_url="file:///etc/passwd"),
    "not an object": [CANARY],
}


@pytest.mark.parametrize("payload", GOOD.values(), ids=GOOD.keys())
def test_what_the_schema_accepts_is_accepted(payload: Any) -> None:
    assert (fits("extraction-job.v1", payload), accepted(payload)) == (True, True)


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
def test_what_the_schema_refuses_is_refused(payload: Any) -> None:
    assert (fits("extraction-job.v1", payload), accepted(payload)) == (False, False)


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("job-*.json")), ids=lambda path: path.stem)
def test_frozen_jobs_fit_the_published_schema(path: Path) -> None:
    assert fits("extraction-job.v1", json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("result-*.json")), ids=lambda path: path.stem)
def test_results_as_workers_write_them_fit_the_published_schema(path: Path) -> None:
    result = ExtractionResult.model_validate_json(path.read_text(encoding="utf-8"))

    for written in (json.loads(path.read_text(encoding="utf-8")), result.model_dump(mode="json", exclude_none=True)):
        Draft202012Validator(json_schema("extraction-result.v1")).validate(written)


def test_failures_as_workers_write_them_fit_the_published_schema() -> None:
    details = json.loads((PAYLOADS / "failure.json").read_text(encoding="utf-8"))["exc_message"][1]

    for written in (details, Failure.model_validate(details).as_error().details):
        Draft202012Validator(json_schema("failure.v1")).validate(written)


def test_results_of_newer_workers_fit_the_schema_that_old_readers_hold() -> None:
    document = json.loads((PAYLOADS / "result-succeeded.json").read_text(encoding="utf-8"))
    document["later"] = 1
    document["attempts"][0]["provider"] = "newer_kind"

    assert fits("extraction-result.v1", document)


def test_an_unknown_schema_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        json_schema("extraction-job.v2")
