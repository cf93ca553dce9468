"""The simulated model: fixed rules in place of a neural network, so that every answer can be foretold.

It reads the episode out of the prompt, finds names and a few dozen kinds of statement in five languages, and writes
them into whatever JSON Schema the request asks for. The same question always gets the same answer.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from workers.embedded.simulator.brain.extract import Findings, extract
from workers.embedded.simulator.brain.fill import EPISODES, fill
from workers.embedded.simulator.brain.passage import find_keyed_passages, find_passage
from workers.embedded.simulator.exchange import Question

PLAIN = "This is a simulated answer."
#: For callers that want JSON and do not say which.
_ANY_OBJECT: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "entities": {"type": "array", "items": {"type": "object", "properties": {"name": {}, "type": {}}}},
        "facts": {"type": "array", "items": {"type": "object", "properties": {"fact": {}, "evidence": {}}}},
    },
}


def answer(question: Question) -> str:
    """The model's text: JSON when a schema is asked for."""
    if question.schema is None:
        return PLAIN
    is_keyed = EPISODES in question.schema.get("properties", ())
    findings = _read(question.user, is_keyed=is_keyed)
    document = fill(question.schema or _ANY_OBJECT, findings)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=4_096)
def _read(user: str, *, is_keyed: bool) -> Findings:
    if is_keyed:
        return Findings(parts={key: extract(passage) for key, passage in find_keyed_passages(user).items()})
    return extract(find_passage(user))
