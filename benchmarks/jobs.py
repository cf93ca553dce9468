"""What all arms work on."""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.contract import ExtractionJob, parse_job
from workers import extraction

TEXT = (
    "We spoke about the move again. I left Porto in March 2026 and live in Lisbon now, and since June I work at Figma "
    "as an analyst. Bea still lives in Porto; she is allergic to peanuts. Number {number}."
)


def jobs(count: int, *, episodes: int = 1) -> Iterator[dict[str, Any]]:
    """`count` jobs of project `bench`, no two alike."""
    for number in range(count):
        yield {
            "project": "bench",
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
    """What the pool would send for `jobs(count)`: system text, user text, schema."""
    for payload in jobs(count):
        job: ExtractionJob = parse_job(payload)
        (unit,) = extraction.plan(job, context_tokens=100_000, max_output=10_000)
        yield unit.prompt.system, unit.prompt.user, unit.prompt.schema
