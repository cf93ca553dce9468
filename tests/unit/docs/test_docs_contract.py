"""docs/contract.md against the code: its snippets run on a real broker, its JSON is validated, its tables compared."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import redis
from jsonschema import Draft202012Validator

import tasks.contract
from config.settings import Settings
from tasks.contract import (
    LIMITS,
    ExtractionFailed,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobRefused,
    VerificationRequest,
    json_schema,
    parse_job,
    parse_verification,
)
from workers.embedded.valkey import EmbeddedValkey
from workers.extraction import PROMPT_VERSION, SCHEMA_VERSION
from workers.extraction.names import name_key, stable_id
from workers.reference import schemas
from workers.verification import Verification
from workers.verification.service import as_document

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, _, code in BLOCKS if language == "python"]


def documents(label: str) -> list[Any]:
    return [json.loads(text) for language, kind, text in BLOCKS if (language, kind) == ("json", label)]


def table(heading: str) -> dict[str, str]:
    """The first table below a heading: name in backticks → its row."""
    _, _, below = PAGE.partition(f"{heading}\n")
    section = re.split(r"^#+ ", below, maxsplit=1, flags=re.MULTILINE)[0]
    return {name: row for row, name in re.findall(r"^(\| `(\w+)` \|.*)$", section, flags=re.MULTILINE)}


class Pipeline:
    """A foreign process that runs snippets of the page, one after the other, as one program."""

    def __init__(self, url: str, client: redis.Redis, *snippets: str) -> None:
        # The wheel's name for the same files: the typed snippets import it.
        alias = "import sys, tasks.contract; sys.modules['byom_contract'] = tasks.contract" if len(snippets) > 2 else ""
        self._client = client
        self._process = subprocess.Popen(
            [sys.executable, "-c", "\n".join([alias, *snippets])],
            cwd=ROOT,
            env={"BYOM_BROKER_URL": url, "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def sent(self) -> tuple[str, str, Any]:
        """The next message in the queue: job id, task and the one argument."""
        popped = self._client.brpop(["byom.extract"], timeout=30)
        assert isinstance(popped, list | tuple), self._process.communicate()
        message = json.loads(popped[1])
        [job], keywords, _ = json.loads(base64.b64decode(message["body"]))
        assert keywords == {}
        assert "Porto" not in json.dumps(message["headers"])
        return message["headers"]["id"], message["headers"]["task"], job

    def answer(self, job_id: str, status: str, result: Any) -> None:
        """Store a result as a worker does."""
        meta = json.dumps({"task_id": job_id, "status": status, "result": result, "traceback": None, "children": []})
        self._client.set(f"celery-task-meta-{job_id}", meta)
        self._client.publish(f"celery-task-meta-{job_id}", meta)

    def printed(self) -> list[str]:
        """What it printed until its end."""
        out, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        return out.splitlines()

    def kill(self) -> None:
        """End it, if a failed test left it waiting."""
        self._process.kill()
        self._process.communicate()


Run = Callable[..., Pipeline]


@pytest.fixture
def run(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> Iterator[Run]:
    with ExitStack() as ends:

        def start(*snippets: str) -> Pipeline:
            pipeline = Pipeline(valkey.url, valkey_client, *snippets)
            ends.callback(pipeline.kill)
            return pipeline

        yield start


def test_every_snippet_is_of_a_kind_that_is_tested_here() -> None:
    assert {(language, label) for language, label, _ in BLOCKS} == {
        ("python", ""),
        ("json", "job"),
        ("json", "result"),
        ("json", "failure"),
        ("json", "refusal"),
        ("json", "verification"),
    }
    assert len(PYTHON) == 6


def test_the_job_that_is_sent_arrives_on_the_queue_and_is_acceptable(run: Run) -> None:
    pipeline = run(PYTHON[0])
    job_id, task, payload = pipeline.sent()

    assert task == tasks.contract.EXTRACT_TASK
    assert parse_job(payload).project == "acme"
    assert pipeline.printed() == [job_id]


def test_a_result_is_read_as_shown(run: Run) -> None:
    pipeline = run(PYTHON[0], PYTHON[1])
    job_id, _, _ = pipeline.sent()
    pipeline.answer(job_id, "SUCCESS", documents("result")[0])

    assert pipeline.printed()[-1] == "chat-17.4 Ana Duarte lives in Porto."


@pytest.mark.parametrize("label", ["failure", "refusal"])
def test_a_failure_is_read_as_shown(run: Run, label: str) -> None:
    [document] = documents(label)
    pipeline = run(PYTHON[0], PYTHON[1])
    job_id, _, _ = pipeline.sent()
    pipeline.answer(job_id, "FAILURE", document)

    message, details = document["exc_message"]
    assert pipeline.printed()[-1] == f"{document['exc_type']} {details['code']} {message}"


def test_a_job_that_has_not_ended_is_told_apart(run: Run) -> None:
    assert "not ended yet" in run(PYTHON[0], PYTHON[1].replace("timeout=300", "timeout=0.1")).printed()[-1]


def test_many_jobs_are_sent_as_shown(run: Run) -> None:
    pipeline = run(PYTHON[0], PYTHON[2])
    pipeline.sent()
    sent = [pipeline.sent() for _ in range(3)]

    assert [parse_job(payload).idempotency_key for _, _, payload in sent] == ["chat-17/0", "chat-17/1", "chat-17/2"]
    assert pipeline.printed()[-1] == str([job_id for job_id, _, _ in sent])


def test_the_typed_snippets_run(run: Run) -> None:
    pipeline = run(PYTHON[0], PYTHON[3], PYTHON[4])
    pipeline.sent()
    job_id, _, payload = pipeline.sent()
    pipeline.answer(job_id, "SUCCESS", documents("result")[0])

    assert payload == {"project": "acme", "episodes": [{"id": "e1", "content": "Ana moved to Porto."}]}
    assert pipeline.printed()[-1] == "succeeded 1148 0.0000860"


def test_a_verification_is_asked_for_as_shown(run: Run) -> None:
    pipeline = run(PYTHON[0], PYTHON[3], PYTHON[5])
    pipeline.sent()
    pipeline.sent()
    _, task, payload = pipeline.sent()

    assert task == tasks.contract.VERIFY_TASK
    assert parse_verification(payload).model_fields_set == VerificationRequest.model_fields.keys()


def test_the_verification_shown_is_what_workers_write() -> None:
    [document] = documents("verification")
    [shown] = document["reports"]
    report = Verification.model_validate({name: shown[name] for name in Verification.model_fields})

    assert as_document("acme", [report]).keys() == document.keys()
    assert report.as_json() | {"latency": shown["latency"]} == shown


def test_the_job_shown_is_acceptable_and_full() -> None:
    [document] = documents("job")

    assert parse_job(document).model_fields_set == ExtractionJob.model_fields.keys()
    Draft202012Validator(json_schema("extraction-job.v1")).validate(document)


@pytest.mark.parametrize("document", documents("result"), ids=lambda document: document["status"])
def test_the_results_shown_are_what_workers_write(document: dict[str, Any]) -> None:
    result = ExtractionResult.model_validate(document)

    assert result.model_dump(mode="json", exclude_none=True) == document
    Draft202012Validator(json_schema("extraction-result.v1")).validate(document)


def test_ids_and_versions_shown_are_those_that_workers_give() -> None:
    result = ExtractionResult.model_validate(documents("result")[0])
    [episode] = result.episodes

    for entity in episode.entities:
        assert entity.id == stable_id("ent", result.project, name_key(entity.type), name_key(entity.name))
    for fact in episode.facts:
        key = (name_key(fact.subject), fact.predicate, name_key(fact.object))
        assert fact.id == stable_id("fact", result.project, *key)
    assert {(made.prompt_version, made.schema_version) for made in result.provenance} == {
        (PROMPT_VERSION, SCHEMA_VERSION)
    }


def test_the_failure_shown_is_what_workers_write() -> None:
    [document] = documents("failure")
    failure = Failure.model_validate(document["exc_message"][1])

    assert failure.as_error().args == tuple(document["exc_message"])
    assert document["exc_module"] == ExtractionFailed.__module__
    Draft202012Validator(json_schema("failure.v1")).validate(document["exc_message"][1])


def test_the_refusal_shown_is_what_a_bad_kind_leads_to() -> None:
    [document] = documents("refusal")

    with pytest.raises(JobRefused) as caught:
        parse_job({"project": "acme", "episodes": [{"id": "e1", "kind": "audio", "content": "…"}]})
    assert list(caught.value.args) == document["exc_message"]


def test_the_page_or_the_reference_tells_every_limit() -> None:
    _, _, below = PAGE.partition("## The job\n")
    section, _, _ = below.partition("## The result")
    reference = schemas.render()

    for limit in fields(LIMITS):
        assert re.search(rf"(?<![\d,]){getattr(LIMITS, limit.name):,}(?![\d,])", section + reference), limit.name
    # What belongs to no single field, and so to no schema.
    assert f"at most {LIMITS.job_chars:,} characters together" in section
    assert f"nested at most {LIMITS.json_depth} deep" in section
    assert f"at most {LIMITS.name_chars} characters" in section


def test_the_page_explains_every_code() -> None:
    assert table("## Failures").keys() == {code.value for code in FailureCode}


def test_the_page_tells_how_long_things_are_kept() -> None:
    assert Settings.model_fields["result_ttl"].default == 24 * 3_600
    assert Settings.model_fields["idempotency_ttl"].default == 7 * 24 * 3_600
    assert "`BYOM_RESULT_TTL` seconds (a day)" in PAGE
    assert "`BYOM_IDEMPOTENCY_TTL` seconds (a week)" in PAGE
