"""`byom enqueue`: all or nothing, in order, and honest about how jobs ended."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import FileStore
from tasks.contract import ExtractionFailed, ExtractionResult, JobRefused, JobStatus, UsageTotals
from tests.unit.cli.conftest import Byom
from tests.unit.cli.fake_producer import FACT, FAILURE, FakeProducer, succeeded
from workers.lanes.views import Pause

LINES = [{"id": f"e{number}", "content": f"Ana likes tea no. {number}."} for number in range(1, 4)]


@pytest.fixture(autouse=True)
def project(store: FileStore) -> None:
    save_project(store, "acme")
    save_credential(store, project_path("acme"), "key", SecretStr("sk-test"))
    document = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    save_connection(store, project_path("acme"), document)


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "jobs.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES), encoding="utf-8")
    return path


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_becomes_a_job_with_an_id(byom: Byom, producer: FakeProducer, file: Path) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--json")

    assert documents(result.stdout) == [
        {"line": number, "project": "acme", "job_id": f"job-e{number}", "duplicate": False} for number in (1, 2, 3)
    ]
    assert [job.episodes[0].id for job in producer.jobs] == ["e1", "e2", "e3"]


def test_people_see_ids_and_a_count(byom: Byom, producer: FakeProducer, file: Path) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "acme")

    assert "job-e2  acme  line 2" in result.stdout
    assert "Enqueued 3 jobs" in result.stderr


def test_who_enqueues_hears_of_a_long_backlog(byom: Byom, producer: FakeProducer, file: Path) -> None:
    assert "jobs of project" not in byom("enqueue", "jobs.jsonl", "--project", "acme").stderr
    producer.waits = 7_300

    told = byom("enqueue", "jobs.jsonl", "--project", "acme")
    quiet = byom("enqueue", "jobs.jsonl", "--project", "acme", "--json")

    assert "1,234 jobs of project 'acme' wait" in told.stderr
    assert "in about 2 h" in told.stderr
    assert (told.exit_code, quiet.exit_code, quiet.stderr) == (0, 0, "")
    producer.waits = None
    assert "Note" not in byom("enqueue", "jobs.jsonl", "--project", "acme").stderr


@pytest.mark.parametrize(
    ("pauses", "said"),
    [
        ([("live", None), ("backfill", None)], "project 'acme' is paused"),
        ([("backfill", None)], "project 'acme' (backfill) is paused"),
        ([("live", "extract.openai")], "project 'acme' (live at openai) is paused"),
    ],
    ids=str,
)
def test_who_enqueues_hears_that_the_project_is_paused(
    byom: Byom, producer: FakeProducer, file: Path, pauses: list[tuple[str, str | None]], said: str
) -> None:
    producer.pauses = tuple(Pause(project="acme", priority=priority, queue=queue) for priority, queue in pauses)

    result = byom("enqueue", str(file), "--project", "acme")

    assert said in result.stderr
    assert "byom lanes resume --project acme" in result.stderr
    assert "Note" not in byom("enqueue", str(file), "--project", "acme", "--json").stderr


def test_what_has_not_ended_is_told_with_all_that_was_waited(byom: Byom, producer: FakeProducer, file: Path) -> None:
    producer.ends = dict.fromkeys(("e1", "e2", "e3"), "waiting")

    result = byom("enqueue", str(file), "--project", "acme", "--wait", "--timeout", "0.5")

    assert result.exit_code == 1
    assert result.stdout.count("has not ended after 0.5 s; it goes on") == 3
    assert "✗" not in result.stdout


def test_a_full_backlog_ends_with_how_many_jobs_were_enqueued(byom: Byom, producer: FakeProducer, file: Path) -> None:
    producer.takes = 2

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--json")

    error = json.loads(result.stderr)["error"]
    assert result.exit_code == 1
    assert (error["code"], error["enqueued"], error["total"]) == ("backlog_full", 2, 3)
    assert "too many jobs wait. 2 of 3 jobs were enqueued" in error["message"]
    assert [document["line"] for document in documents(result.stdout)] == [1, 2]


def test_stdin_is_read_for_a_dash(byom: Byom, producer: FakeProducer) -> None:
    byom("enqueue", "-", "--project", "acme", stdin=json.dumps(LINES[0]))

    assert len(producer.jobs) == 1


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_read_is_a_usage_error(byom: Byom, producer: FakeProducer, name: str) -> None:
    result = byom("enqueue", name, "--project", "acme")

    assert result.exit_code == 2
    assert "cannot read" in result.stderr


def test_one_bad_line_refuses_all_and_names_the_line(byom: Byom, producer: FakeProducer, file: Path) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{{}}\n", encoding="utf-8")

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--json")

    error = json.loads(result.stderr)["error"]
    assert result.exit_code == 2
    assert [entry["line"] for entry in error["invalid"]] == [5]
    assert producer.jobs == []


def test_bad_lines_are_skipped_when_told_and_still_reported(byom: Byom, producer: FakeProducer, file: Path) -> None:
    file.write_text(f"{{}}\n{file.read_text(encoding='utf-8')}", encoding="utf-8")

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--skip-invalid")

    assert result.exit_code == 0
    assert "line 1" in result.stderr
    assert len(producer.jobs) == 3


@pytest.mark.parametrize(("text", "flags"), [("", ()), ("\n\n", ()), ("{}", ("--skip-invalid",))])
def test_nothing_to_enqueue_is_a_usage_error(
    byom: Byom, producer: FakeProducer, file: Path, text: str, flags: tuple[str, ...]
) -> None:
    file.write_text(text, encoding="utf-8")

    assert byom("enqueue", "jobs.jsonl", "--project", "acme", *flags).exit_code == 2


def test_a_project_without_connections_refuses_the_file_before_anything_is_sent(
    byom: Byom, producer: FakeProducer, file: Path
) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "nobody")

    assert result.exit_code == 2
    assert "byom connection add" in result.stderr
    assert producer.jobs == []


def test_the_same_file_again_runs_nothing_twice_when_idempotent(byom: Byom, producer: FakeProducer, file: Path) -> None:
    byom("enqueue", "jobs.jsonl", "--project", "acme", "--idempotent")
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--idempotent")

    assert len(producer.jobs) == 3
    assert "3 were known already" in result.stderr


def test_economy_is_for_all_jobs_of_the_file_and_does_not_make_others_of_them(
    byom: Byom, producer: FakeProducer, file: Path
) -> None:
    byom("enqueue", "jobs.jsonl", "--project", "acme", "--idempotent", "--economy")
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--idempotent")

    assert [job.economy for job in producer.jobs] == [True, True, True]
    assert "3 were known already" in result.stderr


def test_results_come_one_per_line_in_the_order_of_the_file(byom: Byom, producer: FakeProducer, file: Path) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--wait", "--json")

    assert result.exit_code == 0
    assert [document["job_id"] for document in documents(result.stdout)] == ["job-e1", "job-e2", "job-e3"]
    assert documents(result.stdout)[0]["episodes"][0]["facts"][0]["fact"] == FACT.fact


def test_a_failed_job_prints_its_failure_in_its_place_and_ends_with_1(
    byom: Byom, producer: FakeProducer, file: Path
) -> None:
    producer.ends["e2"] = ExtractionFailed("too fast", FAILURE)

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--wait", "--json")

    assert result.exit_code == 1
    assert [document["status"] for document in documents(result.stdout)] == ["succeeded", "failed", "succeeded"]
    assert documents(result.stdout)[1] == {"job_id": "job-e2", "status": "failed", "failure": FAILURE}


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (succeeded("job-e1", JobStatus.PARTIAL), "partial"),
        (JobRefused("no", {"code": "unknown_project"}), "failed"),
        ("running", "unfinished"),
    ],
    ids=["partial", "refused", "unfinished"],
)
def test_less_than_everything_ends_with_1(
    byom: Byom, producer: FakeProducer, file: Path, end: ExtractionResult | Exception | str, status: str
) -> None:
    producer.ends["e1"] = end

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--wait", "--timeout", "0", "--json")

    assert result.exit_code == 1
    assert documents(result.stdout)[0]["status"] == status


def test_a_broker_that_goes_away_is_reported_with_what_was_done(byom: Byom, producer: FakeProducer, file: Path) -> None:
    producer.breaks_after = 2

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--json")

    assert result.exit_code == 3
    assert json.loads(result.stderr)["error"]["enqueued"] == 2
    assert [document["job_id"] for document in documents(result.stdout)] == ["job-e1", "job-e2"]


@pytest.mark.parametrize("command", [("enqueue", "jobs.jsonl", "-p", "acme"), ("result", "job-1"), ("usage",)])
def test_a_broker_that_does_not_answer_is_said_in_one_line(
    byom: Byom, file: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://:secret-canary@127.0.0.1:1/0")

    result = byom(*command)

    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "byom up" in result.stderr
    assert "secret-canary" not in result.output


def test_no_output_of_enqueue_repeats_an_episode(byom: Byom, producer: FakeProducer, file: Path) -> None:
    file.write_text(f'{file.read_text(encoding="utf-8")}\n{{"content": "Ana likes tea"', encoding="utf-8")

    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--skip-invalid")

    assert "tea" not in result.output


def test_packed_lines_go_out_as_one_job_named_by_its_first_line(byom: Byom, producer: FakeProducer, file: Path) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--pack", "1000", "--json")

    assert result.exit_code == 0
    assert documents(result.stdout) == [{"line": 1, "project": "acme", "job_id": "job-e1", "duplicate": False}]
    [job] = producer.jobs
    assert ([episode.id for episode in job.episodes], job.pack_tokens) == (["e1", "e2", "e3"], 1_000)


@pytest.mark.parametrize("tokens", ["0", "4001", "many"])
def test_a_number_of_tokens_that_no_job_takes_is_refused(
    byom: Byom, producer: FakeProducer, file: Path, tokens: str
) -> None:
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--pack", tokens)

    assert result.exit_code == 2
    assert producer.jobs == []


def test_the_end_of_a_job_says_what_packing_saved(byom: Byom, producer: FakeProducer, file: Path) -> None:
    usage = UsageTotals(attempts=1, tokens_saved=6_159)
    producer.ends["e1"] = succeeded("job-e1").model_copy(update={"usage": usage})
    result = byom("enqueue", "jobs.jsonl", "--project", "acme", "--wait")

    said = " ".join(result.output.split())
    assert said.count("saved by packing") == said.count("6,159 saved by packing") == 1
