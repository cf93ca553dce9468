"""Lines become jobs with ids of their content, or are named with what is wrong and never with what they say."""

import hashlib
import json
from typing import Any

import pytest

from tasks.contract import LIMITS, Priority
from workers.backfill.entries import BadLine, Defaults, Entry, parse_line
from workers.backfill.source import Line

EPISODE = {"id": "e1", "content": "Ana moved to Porto."}
DEFAULTS = Defaults(project="acme")


def parse(document: Any, defaults: Defaults = DEFAULTS) -> Entry | BadLine:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_line(Line(number=7, text=text), defaults)


def entry(document: Any, defaults: Defaults = DEFAULTS) -> Entry:
    parsed = parse(document, defaults)
    assert isinstance(parsed, Entry), parsed
    return parsed


def problems(document: Any) -> str:
    parsed = parse(document)
    assert isinstance(parsed, BadLine), parsed
    assert parsed.number == 7
    return "; ".join(parsed.problems)


def test_a_whole_job_is_taken_with_what_it_says() -> None:
    job = entry({"episodes": [EPISODE], "instructions": "Places only.", "labels": {"team": "a"}}).job

    assert (job.project, job.instructions, job.labels) == ("acme", "Places only.", {"team": "a"})


def test_a_bare_episode_becomes_a_job_and_may_carry_fields_of_it() -> None:
    job = entry({**EPISODE, "kind": "message", "speaker": "Ana", "language": "pt", "project": "acme"}).job

    assert (job.language, [episode.speaker for episode in job.episodes]) == ("pt", ["Ana"])


def test_every_job_is_of_the_class_backfill_whatever_its_line_says() -> None:
    assert entry({**EPISODE, "priority": "live"}).job.priority is Priority.BACKFILL


def test_a_line_beats_the_labels_of_all_and_a_stamp_beats_the_line() -> None:
    defaults = Defaults(project="acme", labels={"team": "a", "site": "x"}, stamps={"backfill": "may"})

    job = entry({**EPISODE, "labels": {"team": "b", "backfill": "other"}}, defaults).job

    assert job.labels == {"team": "b", "site": "x", "backfill": "may"}


@pytest.mark.parametrize(
    "document",
    [
        {"episodes": [EPISODE]},
        {**EPISODE, "kind": "text", "context": []},
        {**EPISODE, "project": "acme", "labels": {"a": "b"}, "priority": "live", "idempotency_key": "k"},
        {**EPISODE, "callback_url": "https://example.com/"},
        {"content": EPISODE["content"], "id": EPISODE["id"]},
    ],
)
def test_an_id_is_of_what_is_extracted_however_it_is_written(document: dict[str, Any]) -> None:
    # Frozen: ids of backfills that were begun with an earlier version must be found again.
    content = '{"episodes":[{"content":"Ana moved to Porto.","id":"e1"}],"project":"acme"}'
    assert entry(document).id == hashlib.sha256(content.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "e2"},
        {"content": "Ana moved to Faro."},
        {"kind": "message"},
        {"reference_time": "2026-05-04"},
        {"language": "pt"},
        {"instructions": "Places only."},
        {"entity_types": [{"name": "ship"}]},
        {"context": [{"id": "e0", "content": "Earlier."}]},
    ],
)
def test_whatever_changes_what_is_extracted_changes_the_id(change: dict[str, Any]) -> None:
    assert entry({**EPISODE, **change}).id != entry(EPISODE).id


def test_the_project_is_part_of_the_id() -> None:
    assert entry(EPISODE, Defaults(project="globex")).id != entry(EPISODE).id


def test_the_same_instant_without_an_offset_is_utc() -> None:
    same = [entry({**EPISODE, "reference_time": f"2026-05-04T10:00:00{offset}"}).id for offset in ("", "Z", "+00:00")]

    assert same == [same[0]] * 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\xff", "not UTF-8 at byte 1"),
        (b'{"id": "e1",', "not JSON: "),
        (b"[]", "not a JSON object"),
        (b'{"id": "e1", "content": NaN}', "NaN is no JSON number"),
        (b"[" * 100_000, "nested too deep"),
        ({"id": "e1"}, "episodes: Field required"),
        ({"content": "secret"}, "id: Field required"),
        ({**EPISODE, "speaker": "secret"}, "speaker and role belong to"),
        ({**EPISODE, "project": "secret"}, "project: is not 'acme'"),
        ({**EPISODE, "secrt": "secret"}, "secrt: Extra inputs are not permitted"),
        ({**EPISODE, "labels": "secret"}, "labels: "),
        ({"id": "e1", "content": "secret" * LIMITS.episode_chars}, "content has 1200000 characters"),
        ({"id": "e1", "content": ""}, "content is empty"),
        ({"episodes": [{"id": "e1", "content": ""}]}, "episodes.0: content is empty"),
        ({"episodes": [EPISODE, EPISODE]}, "episodes.0 and episodes.1 have the same id"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong_and_never_with_what_it_says(line: Any, said: str) -> None:
    told = problems(line)

    assert said in told
    assert "secret" not in told


def test_what_could_not_be_read_is_a_bad_line() -> None:
    assert parse_line(Line(number=3, text=b"", problem="too long"), DEFAULTS) == BadLine(
        number=3, problems=["too long"]
    )
