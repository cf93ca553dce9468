"""The key is in the headers of the request and nowhere else."""

import pytest

from tasks.contract import ProviderKind
from tests.providers import CANARY, answer, make_call
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest
from workers.providers.faults import RuledProvider
from workers.providers.openai import OpenAIProvider
from workers.providers.openai_compatible import OpenAICompatibleProvider

_CALLS: list[tuple[RuledProvider, Call]] = [
    (OpenAIProvider(), make_call(tags={"project": "acme"})),
    (
        OpenAICompatibleProvider(),
        make_call(provider=ProviderKind.OPENAI_COMPATIBLE, model="m", base_url="https://gateway.example.com/v1"),
    ),
]

_cases = pytest.mark.parametrize(("provider", "call"), _CALLS, ids=[provider.kind for provider, _ in _CALLS])


@_cases
async def test_neither_the_call_nor_the_request_shows_the_key(provider: RuledProvider, call: Call) -> None:
    wire = await provider.prepare(call)
    assert isinstance(wire, WireRequest)
    assert CANARY in wire.headers["authorization"]
    for shown in (repr(call), str(call), repr(wire), str(wire), wire.url, wire.content.decode()):
        assert CANARY not in shown


@_cases
@pytest.mark.parametrize("piece", [CANARY, CANARY[:20], f"key:{CANARY}", CANARY[4:]])
def test_a_server_that_echoes_the_key_does_not_get_it_into_a_fault(
    provider: RuledProvider, call: Call, piece: str
) -> None:
    error = {"message": f"Incorrect API key provided: {piece}", "code": piece, "type": piece, "param": piece}
    fault = provider.read(call, answer({"error": error}, status=401, x_request_id=piece))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert piece not in repr(fault)


@_cases
def test_a_server_that_echoes_the_key_does_not_get_it_into_a_usage_record(provider: RuledProvider, call: Call) -> None:
    text = {"type": "output_text", "text": "{}"}
    body = {
        "model": CANARY,
        "status": "completed",
        "output": [{"type": "message", "content": [text]}],
        "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
    }
    reply = provider.read(call, answer(body, x_request_id=CANARY))
    assert isinstance(reply, Reply)
    assert CANARY not in repr(reply)


@_cases
@pytest.mark.parametrize("prose", ["two words", "x" * 65, "line\nbreak", "", "-dash", 7, None, ["code"]])
def test_only_identifiers_of_the_vendor_reach_a_fault(provider: RuledProvider, call: Call, prose: object) -> None:
    error = {"message": "m", "code": prose, "type": prose, "param": prose}
    fault = provider.read(call, answer({"error": error}, status=400))
    assert isinstance(fault, Fault)
    assert fault.code is None
    assert "(" not in fault.message
