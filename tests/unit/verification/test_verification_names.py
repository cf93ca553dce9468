"""Which names mean the same model, and what addresses are called."""

import pytest

from tasks.contract import ProviderKind
from tests.verification import connected
from workers.verification.names import address, host, place, same_model


@pytest.mark.parametrize(
    ("asked", "named", "same"),
    [
        ("gpt-6-luna", "gpt-6-luna", True),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001", True),
        ("gemini-3.5-flash-lite", "models/gemini-3.5-flash-lite-001", True),
        ("claude-haiku-4-5-latest", "claude-haiku-4-5", True),
        ("qwen3", "Qwen3", True),
        ("model", "model@20260101", True),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite", False),
        ("gemini-2.5-flash", "gemini-3.5-flash-lite", False),
        ("gpt-5", "gpt-5-nano", False),
        ("gpt-5", "gpt-5.4", False),
        ("claude-haiku-4", "claude-haiku-4-5", False),
        ("gpt-6-luna-2026-10-01", "gpt-6-luna", False),
    ],
)
def test_dated_builds_are_the_model_and_siblings_are_not(asked: str, named: str, same: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    assert same_model(asked, named) is same


def test_addresses_are_told_as_the_user_knows_them() -> None:
    own = connected(ProviderKind.OPENAI_COMPATIBLE, base_url="http://127.0.0.1:8000/v1").connection
    vertex = connected(ProviderKind.VERTEX, location="global").connection

    assert (address(own), host(own)) == ("http://127.0.0.1:8000/v1", "127.0.0.1")
    assert address(connected(ProviderKind.OPENAI).connection) == "its public endpoint"
    assert (address(vertex), place(vertex)) == ("its endpoint in global", "global")
    assert place(connected(ProviderKind.BEDROCK).connection) == "us-east-1"
    assert (host(vertex), place(own)) == ("", "")
