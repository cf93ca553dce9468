"""What Anthropic's listing says of each model, page by page."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from workers.embedded.simulator.wire.claude_facts import ADAPTIVE, BETWEEN_TOOLS, DISABLED, EFFORTS, ENABLED, Facts

_CREATED = "2026-10-07T00:00:00Z"
#: Models per page, unless the request says how many.
_PAGE = 20


def page(models: Sequence[dict[str, Any]], query: str) -> dict[str, Any]:
    """The page of the list that a request's `limit` and `after_id` ask for."""
    asked = parse_qs(query)
    ids = [model["id"] for model in models]
    after = asked.get("after_id", [""])[0]
    start = ids.index(after) + 1 if after in ids else 0
    shown = models[start : start + int(asked.get("limit", [str(_PAGE)])[0])]
    return {
        "data": shown,
        "has_more": start + len(shown) < len(models),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


def listed(name: str, facts: Facts) -> dict[str, Any]:
    """One model, with what it is capable of."""

    def supported(value: bool) -> dict[str, bool]:  # noqa: FBT001 - one flag in, the same flag out
        return {"supported": value}

    kinds = (ADAPTIVE, BETWEEN_TOOLS, DISABLED, ENABLED)
    return {
        "type": "model",
        "id": name,
        "display_name": facts.name,
        "created_at": _CREATED,
        "lifecycle": "active",
        "line": name.split("-")[1],
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": facts.context,
        "max_tokens": facts.max_output,
        "capabilities": {
            **{name: supported(False) for name in ("batch", "citations", "code_execution", "image_input", "pdf_input")},
            "context_management": supported(False),
            "server_tools": supported(False),
            "effort": supported(facts.efforts) | {effort: supported(facts.efforts) for effort in EFFORTS},
            "structured_outputs": supported(True),
            "thinking": supported(True) | {"types": {kind: supported(kind in facts.thinking) for kind in kinds}},
        },
    }
