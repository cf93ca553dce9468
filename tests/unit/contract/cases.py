"""Jobs that several tests of the contract share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.contract import LIMITS

#: Planted in values; no error may repeat it.
CANARY = "CANARY"


def episode(**fields: Any) -> dict[str, Any]:
    return {"id": "e1", "content": "Ada moved to Lisbon."} | fields


def job(**fields: Any) -> dict[str, Any]:
    return {"project": "acme", "episodes": [episode()]} | fields


def words(length: int) -> str:
    """Text of exactly this many characters, with the canary in it."""
    return (CANARY + "x" * length)[:length]


def nested(depth: int) -> Any:
    """Objects in objects, so that the innermost value lies this deep."""
    value: Any = CANARY
    for _ in range(depth):
        value = {CANARY: value}
    return value


def large_job(chars: int) -> dict[str, Any]:
    """A job whose episodes and context together have this many characters, none of them too long by itself."""
    pieces: list[dict[str, Any]] = []
    while chars:
        length = min(chars, LIMITS.episode_chars)
        pieces.append(episode(id=f"e{len(pieces)}", content=words(length)))
        chars -= length
    return job(episodes=pieces[:2], context=pieces[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCase:
    """How to build a job of a given size in one respect."""

    #: The field of `Limits`.
    limit: str
    #: What the message must name.
    field: str
    build: Callable[[int], dict[str, Any]]
    #: Whether JSON Schema can say it.
    in_schema: bool = True

    @property
    def bound(self) -> int:
        return int(getattr(LIMITS, self.limit))


LIMIT_CASES = [
    LimitCase(
        limit="episodes",
        field="episodes",
        build=lambda n: job(episodes=[episode(id=f"e{i}", content=CANARY) for i in range(n)]),
    ),
    LimitCase(
        limit="context_episodes",
        field="context",
        build=lambda n: job(context=[episode(id=f"c{i}", content=CANARY) for i in range(n)]),
    ),
    LimitCase(
        limit="episode_chars",
        field="episodes.0",
        build=lambda n: job(episodes=[episode(content=words(n))]),
    ),
    LimitCase(
        limit="episode_chars",
        field="episodes.0",
        # {"k":"…"} adds eight characters to the text.
        build=lambda n: job(episodes=[episode(kind="json", content={"k": words(n - 8)})]),
        in_schema=False,
    ),
    LimitCase(limit="job_chars", field="job", build=large_job, in_schema=False),
    LimitCase(
        limit="json_depth",
        field="episodes.0.content",
        build=lambda n: job(episodes=[episode(kind="json", content=nested(n))]),
        in_schema=False,
    ),
    LimitCase(
        limit="entity_types",
        field="entity_types",
        build=lambda n: job(entity_types=[{"name": f"{CANARY}{i}"} for i in range(n)]),
    ),
    LimitCase(
        limit="entity_type_chars",
        field="entity_types.0.name",
        build=lambda n: job(entity_types=[{"name": words(n)}]),
    ),
    LimitCase(
        limit="description_chars",
        field="entity_types.0.description",
        build=lambda n: job(entity_types=[{"name": "City", "description": words(n)}]),
    ),
    LimitCase(limit="pack_tokens", field="pack_tokens", build=lambda n: job(pack_tokens=n)),
    LimitCase(limit="instructions_chars", field="instructions", build=lambda n: job(instructions=words(n))),
    LimitCase(
        limit="labels",
        field="labels",
        build=lambda n: job(labels={f"label{i}": CANARY for i in range(n)}),
    ),
    LimitCase(limit="name_chars", field="project", build=lambda n: job(project=words(n))),
    LimitCase(limit="name_chars", field="idempotency_key", build=lambda n: job(idempotency_key=words(n))),
    LimitCase(limit="name_chars", field="episodes.0.id", build=lambda n: job(episodes=[episode(id=words(n))])),
    LimitCase(
        limit="name_chars",
        field="episodes.0.speaker",
        build=lambda n: job(episodes=[episode(kind="message", speaker=words(n))]),
    ),
    LimitCase(
        limit="name_chars",
        field="episodes.0.role",
        build=lambda n: job(episodes=[episode(kind="message", role=words(n))]),
    ),
    LimitCase(limit="name_chars", field="labels", build=lambda n: job(labels={words(n): "value"})),
    LimitCase(limit="name_chars", field="labels.team", build=lambda n: job(labels={"team": words(n)})),
    LimitCase(
        limit="language_chars",
        field="language",
        build=lambda n: job(language="en-canary12-canary34-canary56-" + "x" * (n - 30)),
    ),
    LimitCase(
        limit="url_chars",
        field="callback_url",
        build=lambda n: job(callback_url=f"https://example.com/{words(n - 20)}"),
    ),
]
