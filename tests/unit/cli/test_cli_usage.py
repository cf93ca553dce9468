"""`byom usage`: sums as asked, and a cost that is not known is never 0."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from tests.ledger import settle, usage_record
from tests.unit.cli.conftest import Byom
from workers.embedded.valkey import EmbeddedValkey
from workers.ledger import DIMENSIONS, RECORDS_KEY


def record(call: str, project: str, provider: ProviderKind, *, cost: str | None, **changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "project": project,
        "provider": provider,
        "usage": TokenUsage(input=100, cached_input=20, output=7),
        "cost_usd": cost,
        "started_at": datetime.now(UTC),
    }
    return usage_record(call, **(fields | changes))


RECORDS = [
    record("a", "acme", ProviderKind.OPENAI, cost="0.25", labels={"team": "search"}),
    record("b", "acme", ProviderKind.OPENAI, cost="0.5", labels={"team": "ads"}),
    record("c", "acme", ProviderKind.OPENAI, cost=None, status="unavailable", usage=TokenUsage()),
    record("d", "acme", ProviderKind.OPENAI_COMPATIBLE, cost=None, role=Role.FALLBACK),
    record("e", "globex", ProviderKind.OPENAI_COMPATIBLE, cost=None),
]


@pytest.fixture(autouse=True)
def ledger(home: Path, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as client:
            await settle(client, RECORDS)

    asyncio.run(write())
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)


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

    numbers = ["ATTEMPTS", "FAILED", "FAILED", "%", "FALLBACK", "%", "INPUT", "CACHED", "OUTPUT", "COST", "USD"]
    assert lines[0].split() == ["PROJECT", "PROVIDER", *numbers]
    assert lines[1].split() == ["acme", "openai", "3", "1", "33.3", "0.0", "200", "40", "14", "0.750000"]
    assert lines[-1].split() == ["all", "5", "1", "20.0", "20.0", "400", "80", "28", "0.750000", "+", "?"]
    assert "unknown" in lines[2]


def test_labels_and_shares_are_columns_like_others(byom: Byom) -> None:
    found = rows(byom, "--by", "label:team,role", "--project", "acme")

    assert [(row["label:team"], row["role"], row["failed_share"], row["fallback_share"]) for row in found] == [
        ("-", "fallback", 0, 1),
        ("-", "primary", 1, 0),
        ("ads", "primary", 0, 0),
        ("search", "primary", 0, 0),
    ]
    assert "LABEL:TEAM" in byom("usage", "--by", "label:team").stdout


def test_csv_is_for_spreadsheets(byom: Byom) -> None:
    found = list(csv.DictReader(io.StringIO(byom("usage", "--by", "project", "--csv").stdout)))

    assert [(row["project"], row["attempts"], row["cost_usd"], row["unpriced"]) for row in found] == [
        ("acme", "4", "0.75", "1"),
        ("globex", "1", "", "1"),
    ]
    assert found[0]["cached_input_tokens"] == "60"
    assert byom("usage", "--csv", "--json").exit_code == 2


def test_what_usage_cannot_be_summed_by_is_a_usage_error_with_the_list(byom: Byom) -> None:
    result = byom("usage", "--by", "project,customer")

    assert result.exit_code == 2
    assert "customer" in result.stderr
    assert all(name in result.stderr for name in DIMENSIONS)


def test_a_span_has_a_beginning_and_an_end(byom: Byom) -> None:
    assert rows(byom, "--since", "9h", "--until", "3h") == []
    assert len(rows(byom, "--since", "3h", "--until", (datetime.now(UTC) + timedelta(hours=1)).isoformat())) == 3
    assert byom("usage", "--since", "3h", "--until", "9h").exit_code == 2


def test_no_usage_is_no_error(byom: Byom, valkey_client: redis.Redis) -> None:
    valkey_client.flushall()
    result = byom("usage")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "No usage" in result.stderr


def test_the_database_says_the_same_and_knows_several_labels(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_LEDGER_URL", "sqlite:///usage.db")
    synced = byom("usage", "sync", "--json")
    again = byom("usage", "sync")

    assert json.loads(synced.stdout) == {"new": 5, "known": 0, "gaps": []}
    assert "Wrote 0 records." in again.stderr
    by = ("--by", "project,provider,label:team")
    assert rows(byom, *by, "--from", "sql") == rows(byom, *by)
    assert byom("usage", "--by", "label:team,label:env").exit_code == 2
    assert len(rows(byom, "--by", "label:team,label:env", "--from", "sql")) == 3


def test_a_database_that_is_not_configured_or_not_there_is_told(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = byom("usage", "--from", "sql")
    monkeypatch.setenv("BYOM_LEDGER_URL", "postgresql://byom:CANARY@127.0.0.1:1/x")
    away = byom("usage", "sync")

    assert (missing.exit_code, "BYOM_LEDGER_URL" in missing.stderr) == (2, True)
    assert (away.exit_code, "BYOM_LEDGER_URL" in away.stderr, "CANARY" in away.stderr) == (3, True, False)


def test_a_gap_in_the_stream_is_told_and_ends_with_one(
    byom: Byom, monkeypatch: pytest.MonkeyPatch, valkey_client: redis.Redis
) -> None:
    monkeypatch.setenv("BYOM_LEDGER_URL", "sqlite:///usage.db")
    byom("usage", "sync")
    byom("usage", "export", "--out", "out.jsonl", "--state", "state")
    for call in "xyz":
        valkey_client.xadd(RECORDS_KEY, {"record": RECORDS[0].model_copy(update={"id": call}).model_dump_json()})
    valkey_client.xtrim(RECORDS_KEY, maxlen=1, approximate=False)

    synced, exported = byom("usage", "sync"), byom("usage", "export", "--out", "out.jsonl", "--state", "state")

    for result in (synced, exported):
        assert (result.exit_code, "Gap: 2 usage records" in result.stderr) == (1, True)
    assert byom("usage", "sync").exit_code == 0


def test_records_are_exported_to_stdout_and_to_files(byom: Byom) -> None:
    lines = byom("usage", "export", "--project", "acme").stdout.splitlines()
    first = byom("usage", "export", "--format", "csv", "--out", "out.csv", "--state", "state")
    again = byom("usage", "export", "--format", "csv", "--out", "out.csv", "--state", "state")

    assert [json.loads(line)["id"] for line in lines] == ["a", "b", "c", "d"]
    assert ("Wrote 5 records." in first.stderr, "Wrote 0 records." in again.stderr) == (True, True)
    assert len(Path("out.csv").read_text(encoding="utf-8").splitlines()) == 6
    assert byom("usage", "export", "--out", "out.csv").exit_code == 2
    assert byom("usage", "export", "--follow", "--until", "1h").exit_code == 2


def test_a_vendors_report_is_held_against_the_ledger(byom: Byom) -> None:
    report = f"day,model,in,out,usd\n{RECORDS[0].started_at.date()},{RECORDS[0].served_model},240,14,0.75\n"
    Path("report.csv").write_text(report, encoding="utf-8")
    columns = ("--columns", "time=day,model=model,tokens_in=in,tokens_out=out,cost=usd")
    command = ("usage", "reconcile", "report.csv", "--provider", "openai", *columns)
    equal = byom(*command)
    Path("report.csv").write_text(report.replace("240", "1,240").replace(",1,", ',"1,').replace("0,14", '0",14'))
    different = byom(*command)
    document = json.loads(byom(*command, "--json").stdout)

    assert (equal.exit_code, equal.stdout.splitlines()[-1]) == (0, "Equal.")
    assert "1,240 → 240 (-1,000)" in different.stdout
    assert (different.exit_code, document["equal"], document["total"]["differs"]) == (1, False, ["all_input"])
    assert (document["total"]["vendor"]["all_input"], document["total"]["ledger"]["all_input"]) == ("1240", "240")
    assert byom(*command, "--tolerance", "90").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--provider", "openai"),
        ("--provider", "bedrock"),
        ("--provider", "openai", "--columns", "colour=in"),
        ("--provider", "openai", "--columns", "time=day,tokens_in=in", "--tolerance", "much"),
        ("--provider", "openai", "--columns", "time=day,tokens_in=in", "--alias", "one"),
    ],
)
def test_a_report_that_cannot_be_read_is_a_usage_error(byom: Byom, arguments: tuple[str, ...]) -> None:
    Path("report.csv").write_text("day,in\n2026-11-23,1\n", encoding="utf-8")

    assert byom("usage", "reconcile", "report.csv", *arguments).exit_code == 2
