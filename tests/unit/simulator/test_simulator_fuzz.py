"""No body that a caller can send makes the simulator fail by itself."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.embedded.simulator import MOUNTS, Latency, Mount, Options
from workers.embedded.simulator.core import Core
from workers.embedded.simulator.exchange import Incoming, Outgoing
from workers.embedded.simulator.wire.azure import AzureResponses
from workers.embedded.simulator.wire.openai_chat import OpenAIChat
from workers.embedded.simulator.wire.openai_compatible import OpenAICompatible
from workers.embedded.simulator.wire.openai_responses import OpenAIResponses

WIRES = [mount for mount in MOUNTS if isinstance(mount.wire, OpenAIResponses | OpenAIChat | OpenAICompatible)]
WORDS = [
    *("type", "text", "role", "content", "user", "developer", "message", "input_text", "json_schema", "format", "name"),
    *("schema", "strict", "object", "array", "string", "properties", "items", "required", "additionalProperties"),
    *("$ref", "#/$defs/A", "$defs", "anyOf", "enum", "function", "parameters", "effort", "mode", "explicit", "x"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
PARAMETERS = [
    *("input", "instructions", "messages", "text", "response_format", "reasoning", "reasoning_effort", "tools"),
    *("tool_choice", "metadata", "max_output_tokens", "max_completion_tokens", "prompt_cache_options", "store"),
    *("temperature", "stream", "service_tier", "verbosity", "n"),
]
VALID: dict[type, dict[str, Any]] = {
    OpenAIResponses: {"input": "Ada lives in London."},
    AzureResponses: {"input": "Ada lives in London."},
    OpenAIChat: {"messages": [{"role": "user", "content": "Ada lives in London."}]},
    OpenAICompatible: {"messages": [{"role": "user", "content": "Ada lives in London."}]},
}


def send(mount: Mount, body: dict[str, Any]) -> Outgoing:
    route = mount.wire.routes[0]
    incoming = Incoming(
        method=route.method,
        path=mount.prefix + route.path,
        headers={"Authorization": "Bearer sk-fuzz"},
        body=json.dumps(body).encode(),
    )
    outgoing, _ = asyncio.run(Core(Options(latency=Latency.fixed(0))).serve(mount, route, incoming))
    return outgoing


@pytest.mark.parametrize("mount", WIRES, ids=lambda mount: type(mount.wire).__name__)
@settings(deadline=None, max_examples=200)
@given(changes=st.dictionaries(st.sampled_from(PARAMETERS), JSON, min_size=1, max_size=2))
def test_any_parameters_get_an_answer_or_a_refusal(mount: Mount, changes: dict[str, Any]) -> None:
    outgoing = send(mount, {"model": "gpt-4.1-mini", **VALID[type(mount.wire)], **changes})

    assert outgoing.status in {200, 400}
    assert isinstance(json.loads(outgoing.body), dict)


@pytest.mark.parametrize("mount", WIRES, ids=lambda mount: type(mount.wire).__name__)
@settings(deadline=None, max_examples=200)
@given(schema=st.dictionaries(st.sampled_from(WORDS), JSON, max_size=4), strict=st.booleans())
def test_any_schema_gets_an_answer_or_a_refusal(mount: Mount, schema: dict[str, Any], *, strict: bool) -> None:
    given_format = {"name": "x", "strict": strict, "schema": {"type": "object", **schema}}
    body = {"model": "gpt-4.1-mini", **VALID[type(mount.wire)]}
    if isinstance(mount.wire, OpenAIResponses):
        body["text"] = {"format": {"type": "json_schema", **given_format}}
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": given_format}

    assert send(mount, body).status in {200, 400}
