"""`byom usage`: sums as asked, and a cost that is not known is never 0."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fakeredis
import pytest

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from tests.unit.cli.conftest import Byom
from workers.ledger import hour_key, increments


def record(project: str, provider: ProviderKind, *, cost: str | None, status: str = "ok") -> AttemptRecord:
    return AttemptRecord(
        id="a1",
        attempt="1.1.1",
        job_id="j1",
        project=project,
        provider=provider,
        connection="primary",
        role=Role.PRIMARY,
        model="m",
        status=status,
        action="done",
        usage=TokenUsage(input=100, cached_input=20, output=7) if status == "ok" else TokenUsage(),
        cost_usd=cost,
        latency_ms=5,
        started_at=datetime.now(UTC),
    )


@pytest.fixture(autouse=True)
def ledger(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    client = fakeredis.FakeRedis()
    records = [
        record("acme", ProviderKind.OPENAI, cost="0.25"),
        record("acme", ProviderKind.OPENAI, cost="0.5"),
        record("acme", ProviderKind.OPENAI, cost=None, status="unavailable"),
        record("acme", ProviderKind.OPENAI_COMPATIBLE, cost=None),
        record("globex", ProviderKind.OPENAI_COMPATIBLE, cost=None),
    ]
    for entry in records:
        for field, amount in increments(entry).items():
            client.hincrby(hour_key(datetime.now(UTC)), field, amount)
    monkeypatch.setattr("workers.cli.usage.connect", lambda _url: client)


def rows(byom: Byom, *arguments: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(byom("usage", *arguments, "--json").stdout)
    return documents


def test_usage_is_summed_by_project_and_provider(byom: Byom) -> None:
    first, second, third = rows(byom)

    assert (first["project"], first["provider"], first["attempts"], first["failed"]) == ("acme", "openai", 3, 1)
    assert (first["tokens"]["input"], Decimal(first["cost_usd"])) == (200, Decimal("0.75"))
    assert [(row["project"], row["cost_usd"], row["unpriced"]) for row in (second, third)] == [
        ("acme", None, 1),
        ("globex", None, 1),
    ]


def test_a_sum_that_leaves_out_unknown_costs_says_so(byom: Byom) -> None:
    [acme, _globex] = rows(byom, "--by", "project")

    assert (Decimal(acme["cost_usd"]), acme["unpriced"]) == (Decimal("0.75"), 1)
    assert "0.750000 + ?" in byom("usage", "--by", "project").stdout


def test_the_table_ends_with_a_line_of_sums(byom: Byom) -> None:
    lines = byom("usage").stdout.splitlines()

    assert lines[0].split() == ["PROJECT", "PROVIDER", "ATTEMPTS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST", "USD"]
    assert lines[-1].split() == ["all", "5", "1", "400", "80", "28", "0.750000", "+", "?"]
    assert "unknown" in lines[2]


def test_what_usage_cannot_be_summed_by_is_a_usage_error(byom: Byom) -> None:
    result = byom("usage", "--by", "project,customer")

    assert result.exit_code == 2
    assert "customer" in result.stderr


def test_no_usage_is_no_error(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cli.usage.connect", lambda _url: fakeredis.FakeRedis())
    result = byom("usage")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "No usage" in result.stderr
