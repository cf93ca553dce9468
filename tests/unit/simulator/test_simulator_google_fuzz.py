"""No body that a caller can send makes Google's endpoints fail by themselves."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contract import ProviderKind
from workers.embedded.simulator import MOUNTS, Latency, Mount, Options
from workers.embedded.simulator.core import Core
from workers.embedded.simulator.exchange import Incoming, Outgoing, Rejection
from workers.embedded.simulator.wire import stand_in
from workers.embedded.simulator.wire.google import GeminiGenerate, VertexGenerate
from workers.embedded.simulator.wire.google_accounts import verify_assertion
from workers.embedded.simulator.wire.google_oauth import AccessTokens

_TOKENS = AccessTokens()
_WIRES = [
    replace(stand_in(ProviderKind.GEMINI), wire=GeminiGenerate()),
    replace(stand_in(ProviderKind.VERTEX), wire=VertexGenerate(_TOKENS)),
]
_HEADERS = {"x-goog-api-key": "AIza-fuzz", "Authorization": f"Bearer {_TOKENS.give('fuzz@simulated.example')}"}
_WORDS = [
    *("contents", "role", "user", "parts", "text", "systemInstruction", "system_instruction", "generationConfig"),
    *("maxOutputTokens", "responseMimeType", "application/json", "responseJsonSchema", "thinkingConfig", "labels"),
    *("thinkingLevel", "MINIMAL", "thinkingBudget", "store", "serviceTier", "type", "object", "array", "properties"),
    *("items", "$ref", "#/$defs/A", "$defs", "anyOf", "enum", "x"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(_WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)
_VALID = {"contents": [{"role": "user", "parts": [{"text": "Ada lives in London."}]}]}

wires = pytest.mark.parametrize("mount", _WIRES, ids=lambda mount: mount.name)


def send(mount: Mount, body: bytes, *, route: int = 0) -> Outgoing:
    asked = mount.wire.routes[route]
    params = {"model": "gemini-3.5-flash-lite", "project": "p", "location": "global"}
    incoming = Incoming(method=asked.method, path=mount.prefix, params=params, headers=_HEADERS, body=body)
    outgoing, _ = asyncio.run(Core(Options(latency=Latency.fixed(0))).serve(mount, asked, incoming))
    return outgoing


@wires
@settings(deadline=None, max_examples=200)
@given(changes=st.dictionaries(st.sampled_from(_WORDS), _JSON, min_size=1, max_size=3), route=st.sampled_from([0, 1]))
def test_any_fields_get_an_answer_or_a_refusal(mount: Mount, changes: dict[str, Any], route: int) -> None:
    outgoing = send(mount, json.dumps({**_VALID, **changes}).encode(), route=route)

    assert outgoing.status in {200, 400}
    assert isinstance(json.loads(outgoing.body), dict)


@wires
@settings(deadline=None, max_examples=200)
@given(schema=st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=4))
def test_any_schema_gets_an_answer_or_a_refusal(mount: Mount, schema: dict[str, Any]) -> None:
    generation = {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object", **schema}}

    assert send(mount, json.dumps({**_VALID, "generationConfig": generation}).encode()).status in {200, 400}


@wires
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"{", b"\xff", b'{"contents":' + b"[" * 10_000])
@pytest.mark.parametrize("route", [0, 1])
def test_what_is_no_request_is_refused(mount: Mount, body: bytes, route: int) -> None:
    assert send(mount, body, route=route).status == 400


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=40) | st.lists(st.text(max_size=8), min_size=3, max_size=3).map(".".join))
def test_no_assertion_but_a_signed_one_is_taken(text: str) -> None:
    with pytest.raises(Rejection):
        verify_assertion(text, now=0)


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=60))
def test_any_form_is_refused_by_the_token_endpoint(body: bytes) -> None:
    mount = next(mount for mount in MOUNTS if mount.name == "google_oauth")
    for prefix in (b"", b"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion="):
        assert send(mount, prefix + body).status == 400
