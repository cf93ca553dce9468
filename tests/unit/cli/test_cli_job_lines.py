"""Lines become jobs, or are named with what is wrong and never with what they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import LIMITS
from workers.cli.job_lines import BadLine, JobLine, read_jobs

SAMPLES = Path(__file__).parents[3] / "examples" / "conversations.jsonl"
EPISODE = {"id": "e1", "content": "Ana moved to Porto."}


def read(*documents: Any, project: str | None = "acme", idempotent: bool = False) -> list[JobLine | BadLine]:
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in documents]
    return list(read_jobs(lines, project=project, idempotent=idempotent, refuse=lambda _project: None))


def one(*documents: Any, **options: Any) -> JobLine:
    [line] = read(*documents, **options)
    assert isinstance(line, JobLine), line
    return line


def problem(document: Any, **options: Any) -> str:
    [line] = read(document, **options)
    assert isinstance(line, BadLine), line
    return line.problem


def test_a_whole_job_is_taken_as_it_is() -> None:
    job = one({"project": "globex", "episodes": [EPISODE], "labels": {"a": "b"}}, project=None).job

    assert (job.project, job.labels, job.episodes[0].id) == ("globex", {"a": "b"}, "e1")


def test_a_bare_episode_becomes_a_job_of_its_own() -> None:
    job = one(EPISODE).job

    assert (job.project, len(job.episodes), job.episodes[0].text) == ("acme", 1, "Ana moved to Porto.")


def test_a_bare_episode_may_name_its_project() -> None:
    assert one({"project": "globex", **EPISODE}, project=None).job.project == "globex"


def test_the_project_that_a_line_repeats_is_fine() -> None:
    assert one({"project": "acme", "episodes": [EPISODE]}).job.project == "acme"


@pytest.mark.parametrize("document", [{"project": "globex", "episodes": [EPISODE]}, {"project": "globex", **EPISODE}])
def test_a_line_that_names_another_project_is_bad(document: dict[str, Any]) -> None:
    assert "project" in problem(document)


def test_blank_lines_are_counted_but_not_read() -> None:
    lines = read(b"\n", EPISODE, b"   \r\n", {"id": "e2"})

    assert [line.number for line in lines] == [2, 4]


def test_a_byte_order_mark_is_no_content() -> None:
    assert one("\ufeff".encode() + json.dumps(EPISODE).encode()).job.episodes[0].id == "e1"


BAD = {
    "no JSON": b'{"id": "secret-canary"',
    "an array": b'["secret-canary"]',
    "a word": b'"secret-canary"',
    "not UTF-8": b'{"id": "secret-canary\xff"}',
    "NaN": b'{"id": "e1", "kind": "json", "content": NaN}',
    "nested without end": b'{"id": "e1", "kind": "json", "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number without end": b'{"id": "e1", "kind": "json", "content": ' + b"9" * 10_000 + b"}",
    "an unknown field": b'{"id": "e1", "content": "secret-canary", "typo": 1}',
    "no content": b'{"id": "e1"}',
    "an empty job": b'{"episodes": []}',
    "a wrong type": b'{"id": ["secret-canary"], "content": "x"}',
    "too long": json.dumps({"id": "e1", "content": "x" * (LIMITS.episode_chars + 1)}).encode(),
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_described_without_its_content(line: bytes) -> None:
    text = problem(line)

    assert text
    assert "secret-canary" not in text
    assert len(text) < 300


def test_a_line_without_a_project_says_how_to_give_one() -> None:
    assert "--project" in problem(EPISODE, project=None)


def test_a_project_that_cannot_take_jobs_makes_its_lines_bad() -> None:
    lines = read_jobs([json.dumps(EPISODE).encode()], project="acme", idempotent=False, refuse=lambda name: f"{name}!")

    assert list(lines) == [BadLine(number=1, problem="acme!")]


def test_an_idempotency_key_is_made_of_the_content_and_the_project() -> None:
    key = one(EPISODE, idempotent=True).job.idempotency_key

    assert key is not None
    assert one(EPISODE, idempotent=True).job.idempotency_key == key
    assert one({**EPISODE, "content": "Other."}, idempotent=True).job.idempotency_key != key
    assert one(EPISODE, project="globex", idempotent=True).job.idempotency_key != key


def test_a_key_that_the_line_gives_is_kept() -> None:
    assert one({"episodes": [EPISODE], "idempotency_key": "mine"}, idempotent=True).job.idempotency_key == "mine"


def test_every_sample_conversation_is_a_job_once_a_project_is_given() -> None:
    lines = list(read_jobs(SAMPLES.read_bytes().splitlines(), project="acme", idempotent=False, refuse=lambda _: None))

    assert [line for line in lines if isinstance(line, BadLine)] == []
    assert len(lines) >= 24


def test_the_samples_name_no_project_and_use_every_kind_of_episode() -> None:
    jobs = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    kinds = {episode.get("kind") for job in jobs for episode in job.get("episodes", [job])}

    assert all("project" not in job for job in jobs)
    assert kinds == {"message", "text", "json"}


def packed(*documents: Any, pack_tokens: int = 1_000, idempotent: bool = False) -> list[JobLine | BadLine]:
    lines = [json.dumps(line).encode() for line in documents]
    return list(
        read_jobs(lines, project="acme", idempotent=idempotent, refuse=lambda _project: None, pack_tokens=pack_tokens)
    )


def bare(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "content": f"Ana likes tea no. {number}.", **more}


def test_neighbouring_bare_episodes_that_may_share_a_prompt_become_one_job() -> None:
    [first, second] = packed(*map(bare, range(20)))

    assert isinstance(first, JobLine)
    assert isinstance(second, JobLine)
    assert [(line.number, len(line.job.episodes), line.job.pack_tokens) for line in (first, second)] == [
        (1, 16, 1_000),
        (17, 4, 1_000),
    ]
    assert [episode.id for episode in first.job.episodes] == [f"e{number}" for number in range(16)]


def test_whole_jobs_stay_as_they_are_and_part_their_neighbours() -> None:
    whole = {"episodes": [bare(9)], "pack_tokens": 50}
    lines = packed(bare(1), bare(2), whole, {"episodes": [bare(8)]}, bare(3), {"id": "e4"}, bare(5))

    assert [(line.number, isinstance(line, BadLine)) for line in lines] == [
        (1, False),
        (3, False),
        (4, False),
        (6, True),
        (5, False),
    ]
    jobs = [line.job for line in lines if isinstance(line, JobLine)]
    assert [[episode.id for episode in job.episodes] for job in jobs] == [["e1", "e2"], ["e9"], ["e8"], ["e3", "e5"]]
    assert [job.pack_tokens for job in jobs] == [1_000, 50, 1_000, 1_000]


def test_episodes_with_the_same_id_are_not_in_one_job() -> None:
    assert len(packed(bare(1), bare(1))) == 2


def test_packed_lines_have_a_key_made_of_all_that_they_say() -> None:
    [one], [again], [other] = (
        packed(bare(1), bare(number), idempotent=True, pack_tokens=1_000) for number in (2, 2, 3)
    )

    assert isinstance(one, JobLine)
    assert isinstance(again, JobLine)
    assert isinstance(other, JobLine)
    assert one.job.idempotency_key == again.job.idempotency_key != other.job.idempotency_key
