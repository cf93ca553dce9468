import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.families.instructions import o200k
from tasks.contract import ExtractionJob
from workers.extraction import Extracted, Unit, check, plan

#: Limits that nothing in these tests reaches unless it means to.
ROOMY = {"context_tokens": 1_000_000, "max_output": 64_000}

JobMaker = Callable[..., ExtractionJob]
UnitMaker = Callable[..., tuple[Unit, ExtractionJob]]
Checker = Callable[..., Extracted]


@pytest.fixture(scope="session")
def count_tokens() -> Callable[[str], int]:
    """Tokens of a text in o200k."""
    return o200k()


@pytest.fixture
def make_job() -> JobMaker:
    """A job of one episode; keyword arguments of the episode, and `job` for the rest."""

    def make(content: Any, *, job: dict[str, Any] | None = None, **episode: Any) -> ExtractionJob:
        if "speaker" in episode or "role" in episode:
            episode.setdefault("kind", "message")
        first = {"id": "e1", "content": content, **episode}
        return ExtractionJob.model_validate({"project": "acme", "episodes": [first], **(job or {})})

    return make


@pytest.fixture
def make_unit(make_job: JobMaker) -> UnitMaker:
    """The only unit of such a job, and the job."""

    def make(content: Any, **rest: Any) -> tuple[Unit, ExtractionJob]:
        job = make_job(content, **rest)
        (unit,) = plan(job, **ROOMY)
        return unit, job

    return make


@pytest.fixture
def run_check(make_unit: UnitMaker) -> Checker:
    """What is believed of an answer to one episode; fails if it is unusable."""

    def run(content: Any, answer: Any, **rest: Any) -> Extracted:
        unit, job = make_unit(content, **rest)
        checked = check(unit, job, answer if isinstance(answer, str) else json.dumps(answer))
        assert isinstance(checked, Extracted), checked
        return checked

    return run
