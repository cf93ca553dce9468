"""No label of a job costs a call, whatever its provider: the simulated vendors check labels as the real ones do."""

import json
import unicodedata
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from config.labels import OWN_TAGS, LabelRule
from tasks.contract import LIMITS, ProviderKind, parse_job
from tests.providers import make_call
from workers.embedded.simulator import Latency, Options, Simulator, simulated_credential
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest
from workers.providers.faults import RuledProvider
from workers.providers.registry import build_providers
from workers.providers.transport import Transport

#: Kind → mount, and what its calls need.
KINDS: Mapping[ProviderKind, tuple[str, Mapping[str, Any]]] = {
    ProviderKind.OPENAI: ("openai", {"model": "gpt-6-luna"}),
    ProviderKind.AZURE_OPENAI: ("azure", {"model": "gpt-6-luna"}),
    ProviderKind.GEMINI: ("gemini", {"model": "gemini-3.5-flash-lite"}),
    ProviderKind.VERTEX: (
        "vertex",
        {
            "model": "gemini-3.5-flash-lite",
            "secret": simulated_key_file("extractor@simulated-project.iam.gserviceaccount.com"),
        },
    ),
    ProviderKind.ANTHROPIC: ("anthropic", {"model": "claude-haiku-5-5"}),
    ProviderKind.BEDROCK: (
        "bedrock",
        {"model": "global.anthropic.claude-haiku-5-5", "secret": simulated_credential("AKIASIMULATED0000001")},
    ),
    ProviderKind.OPENAI_COMPATIBLE: ("compatible", {"model": "gpt-6-luna"}),
}

#: Where a request's body has its tags.
FIELDS = {
    ProviderKind.OPENAI: "metadata",
    ProviderKind.AZURE_OPENAI: "metadata",
    ProviderKind.GEMINI: "labels",
    ProviderKind.VERTEX: "labels",
    ProviderKind.BEDROCK: "requestMetadata",
}

OWN = {"project": "Acme.Prod", "provider": "x", "role": "primary", "job": "j-1", "attempt": "1.0.1"}
assert set(OWN) == set(OWN_TAGS)

_LONG = LIMITS.name_chars
JOB_LABELS: Mapping[str, Mapping[str, str]] = {
    "other alphabets": {"team": "R&D / Großkunden «EU»", "city": "東京", "mood": "😀", "name": "Σίσυφος", "n": "½²"},
    "combining marks": {"name": unicodedata.normalize("NFD", "Éléonore Åström 한국")},
    "keys that begin oddly": {"2nd": "x", "Cost.Centre": "x", "A-B_c.d": "x", "0": "0"},
    "all as long as can be": {f"{number:x}" * _LONG: "V" * _LONG for number in range(LIMITS.labels)},
    "long keys that differ at their ends": {f"{'k' * (_LONG - 2)}{number}": "x" for number in range(10, 26)},
    "as many as can be": {f"label-{number}": "v" for number in range(LIMITS.labels)},
    "names of our own tags": {"Project": "globex", "PROVIDER": "x", "project": "globex", "job": "x"},
    "one name in several cases": {"team": "a", "Team": "b", "TEAM": "c"},
    "what other systems take for code": {"a": "${x}", "b": "'; --", "c": "<b>", "d": "\\u0000", "e": '"'},
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(Options(latency=Latency.fixed(0), seed=1)) as running:
        yield running


@pytest.fixture
def providers(simulator: Simulator, transport: Transport) -> Mapping[ProviderKind, RuledProvider]:
    return build_providers(fetch=transport.fetch, token_url=simulator.base_urls["google_oauth"])


def call_of(simulator: Simulator, kind: ProviderKind, tags: Mapping[str, str]) -> Call:
    mount, given = KINDS[kind]
    return make_call(provider=kind, base_url=simulator.base_urls[mount], tags=tags, **given)


def test_all_kinds_are_called() -> None:
    assert KINDS.keys() == set(ProviderKind)


@pytest.mark.parametrize("labels", JOB_LABELS.values(), ids=JOB_LABELS)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_label_of_a_job_costs_the_call(
    simulator: Simulator,
    transport: Transport,
    providers: Mapping[ProviderKind, RuledProvider],
    kind: ProviderKind,
    labels: Mapping[str, str],
) -> None:
    job = parse_job({"project": "acme", "episodes": [{"id": "e", "content": "x"}], "labels": labels})
    # In the engine's order: the connection's labels, the job's, ours.
    connections = {f"connection-{number}": "v" for number in range(11)}
    call = call_of(simulator, kind, connections | job.labels | OWN)

    answer = (await transport.send(providers[kind], call, timeout=5)).answer

    assert isinstance(answer, Reply), answer
    wire = await providers[kind].prepare(call)
    assert isinstance(wire, WireRequest)
    body = json.loads(wire.content)
    if kind not in FIELDS:
        assert "label" not in wire.content.decode()
        return
    tags = body[FIELDS[kind]]
    assert tags["project"] in {"Acme.Prod", "acme_prod"}
    # Connections that were saved with all the labels there is room for keep them, whatever the job brings.
    assert connections.items() <= tags.items()
    assert [entry.tags for entry in simulator.books().entries if entry.served] == [tags]


@pytest.mark.parametrize("kind", FIELDS)
async def test_labels_that_are_sent_as_they_come_do_cost_the_call(
    simulator: Simulator,
    transport: Transport,
    providers: Mapping[ProviderKind, RuledProvider],
    kind: ProviderKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the test above could not fail."""
    monkeypatch.setattr(LabelRule, "fit", lambda _, tags: dict(tags))
    call = call_of(simulator, kind, {**JOB_LABELS["all as long as can be"], **OWN})

    answer = (await transport.send(providers[kind], call, timeout=5)).answer

    assert isinstance(answer, Fault)
    assert answer.kind is FaultKind.BAD_REQUEST
