"""What an answer to the test question proves."""

import json

import pytest

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind, TokenUsage
from tests.verification import connected, secret_of
from workers.providers.base import Reply
from workers.verification.probe import probe_call, proven
from workers.verification.report import Check, CheckName, Problem, Status

AZURES = {"base_url": "https://acme.openai.azure.com/"}
OWN = {"base_url": "https://llm.example.com/v1"}
READY = '{"status":"ready"}'


def checks(
    *,
    kind: ProviderKind = ProviderKind.OPENAI,
    text: str = READY,
    served: str | None = None,
    reasoning: int = 0,
    output: int = 8,
    facts: ModelFacts | None = None,
) -> dict[CheckName, Check]:
    settings = {ProviderKind.AZURE_OPENAI: AZURES, ProviderKind.OPENAI_COMPATIBLE: OWN}.get(kind, {})
    link = connected(kind, **settings)
    facts = facts or load_catalogue().find(kind, link.connection.model)
    call = probe_call(link, secret_of(kind), facts)
    usage = TokenUsage(input=50, output=output, reasoning=reasoning)
    return {check.name: check for check in proven(call, Reply(text=text, usage=usage, served_model=served))}


def facts_with(reasoning: ReasoningOff, value: str | None = None) -> ModelFacts:
    known = load_catalogue().find(ProviderKind.OPENAI, "gpt-6-luna")
    return known.model_copy(update={"reasoning": reasoning, "reasoning_value": value})


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (READY, Status.OK),
        (' {"status": "ready"}\n', Status.OK),
        (f"```json\n{READY}\n```", Status.WARNING),
        (f"Sure! {READY}", Status.WARNING),
        ("Ready.", Status.FAILED),
        ('{"status":"ready"', Status.FAILED),
        ('{"status":"fine"}', Status.FAILED),
        ('{"status":"ready","more":1}', Status.FAILED),
        ('["ready"]', Status.FAILED),
        ("[" * 100_000, Status.FAILED),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_answer_is_held_to_its_schema(text: str, status: Status) -> None:
    check = checks(text=text)[CheckName.STRUCTURED_OUTPUT]

    assert check.status is status
    assert (check.problem is Problem.UNUSABLE_OUTPUT) is (status is Status.FAILED)
    assert bool(check.mend) is (status is not Status.OK)


def test_the_question_does_not_give_the_format_away() -> None:
    """A server that ignores the schema must show it; told in the prompt, a good model would hide it."""
    facts = load_catalogue().find(ProviderKind.OPENAI, "gpt-6-luna")
    prompt = probe_call(connected(ProviderKind.OPENAI), None, facts).prompt

    assert "json" not in (prompt.system + prompt.user).lower()
    assert json.loads(READY).keys() == prompt.schema["properties"].keys()


@pytest.mark.parametrize(
    ("kind", "served", "status", "says"),
    [
        (ProviderKind.OPENAI, None, Status.OK, "gpt-6-luna answers"),
        (ProviderKind.OPENAI, "gpt-6-luna-2026-10-01", Status.OK, "gpt-6-luna answers"),
        (ProviderKind.OPENAI, "gpt-5.6-luna", Status.WARNING, "bills for that one"),
        (ProviderKind.GEMINI, "gemini-3.5-flash-lite", Status.WARNING, "gemini-3.5-flash-lite"),
        (ProviderKind.AZURE_OPENAI, "gpt-4o-mini-2024-07-18", Status.WARNING, "runs another model"),
        (ProviderKind.OPENAI_COMPATIBLE, "/models/qwen3.gguf", Status.OK, "under the name"),
    ],
)
def test_the_model_that_answers_is_compared(kind: ProviderKind, served: str | None, status: Status, says: str) -> None:
    check = checks(kind=kind, served=served)[CheckName.MODEL]

    assert check.status is status
    assert says in check.message


@pytest.mark.parametrize(
    ("reasoning", "thought", "output", "status", "says"),
    [
        (ReasoningOff.OFF, 0, 8, Status.OK, "switched off"),
        (ReasoningOff.OFF, 64, 72, Status.WARNING, "64 of the 72"),
        # Bedrock does not break thinking out: its price shows all the same.
        (ReasoningOff.OFF, 0, 400, Status.WARNING, "took 400 output tokens"),
        (ReasoningOff.NOT_NEEDED, 0, 8, Status.OK, "does not reason"),
        (ReasoningOff.NOT_NEEDED, 9, 17, Status.WARNING, "9 of the 17"),
        (ReasoningOff.LOWEST, 0, 8, Status.WARNING, "cannot go without"),
        (ReasoningOff.LOWEST, 30, 38, Status.WARNING, "30 of the 38"),
        (ReasoningOff.UNKNOWN, 0, 8, Status.OK, "no reasoning was seen"),
        (ReasoningOff.UNKNOWN, 300, 308, Status.WARNING, "300 of the 308"),
    ],
)
def test_reasoning_is_held_to_what_the_catalogue_says(
    reasoning: ReasoningOff, thought: int, output: int, status: Status, says: str
) -> None:
    found = checks(reasoning=thought, output=output, facts=facts_with(reasoning, "low"))
    check = found[CheckName.REASONING_OFF]

    assert check.status is status
    assert says in check.message
    assert bool(check.mend) is (status is Status.WARNING)


@pytest.mark.parametrize("reasoning", ReasoningOff)
def test_the_cap_leaves_room_for_thoughts_where_they_may_come(reasoning: ReasoningOff) -> None:
    prompt = probe_call(connected(ProviderKind.OPENAI), None, facts_with(reasoning)).prompt

    thinks = reasoning in {ReasoningOff.LOWEST, ReasoningOff.UNKNOWN}
    assert (prompt.max_output_tokens >= 4_096) is thinks
    # Smaller caps are refused by some vendors.
    assert prompt.max_output_tokens >= 16


def test_a_label_cannot_pass_for_another_project() -> None:
    link = connected(ProviderKind.OPENAI, labels={"project": "other", "team": "core"})
    facts = load_catalogue().find(ProviderKind.OPENAI, "gpt-6-luna")

    assert probe_call(link, None, facts).tags["project"] == "acme"
