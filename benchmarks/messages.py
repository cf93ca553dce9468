"""What all arms work on that are compared by their CPU."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.ground import TEXT
from tasks.contract import ExtractionJob, parse_job
from workers import extraction


def message_jobs(project: str, count: int, *, episodes: int = 1) -> Iterator[dict[str, Any]]:
    """`count` jobs of a project, no two alike."""
    for number in range(count):
        yield {
            "project": project,
            "episodes": [
                {
                    "id": f"e{episode}",
                    "kind": "message",
                    "speaker": "Ada",
                    "content": TEXT.format(number=number * episodes + episode),
                    "reference_time": "2026-11-20T10:00:00Z",
                }
                for episode in range(episodes)
            ],
        }


def prompts(count: int) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What the pool would send for `message_jobs("bench", count)`: system text, user text, schema."""
    for payload in message_jobs("bench", count):
        job: ExtractionJob = parse_job(payload)
        (unit,) = extraction.plan(job, context_tokens=100_000, max_output=10_000)
        yield unit.prompt.system, unit.prompt.user, unit.prompt.schema
