"""Vendors' reports against the ledger: equal to the token, or told where not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from openai.types.admin.organization import UsageCompletionsResponse, UsageCostsResponse

from tasks.contract import AttemptRecord, TokenUsage
from tests.ledger import NOW, settle, usage_record
from workers.ledger import UsageReader
from workers.ledger.errors import UnreadableReport
from workers.ledger.reconcile import (
    Comparison,
    Report,
    Tolerance,
    compare,
    parse_columns,
    read_report,
    read_table,
)
from workers.providers.registry import report_readers

DAY = datetime(2026, 11, 23, tzinfo=UTC)
SERVED = "gpt-6-luna-2026-07-09"


def openai_page(
    *results: dict[str, Any], start: datetime = DAY, width: timedelta = timedelta(days=1)
) -> dict[str, Any]:
    """A page of OpenAI's API with one bucket; its official types must take it."""
    kind = UsageCostsResponse if results and "amount" in results[0] else UsageCompletionsResponse
    page = {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": int(start.timestamp()),
                "end_time": int((start + width).timestamp()),
                "results": list(results),
            }
        ],
        "has_more": False,
        "next_page": None,
    }
    kind.model_validate(page)
    return page


def completions(**changes: Any) -> dict[str, Any]:
    """What OpenAI reports of two calls such as `usage_record` has them."""
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": 2_400,
        "input_cached_tokens": 400,
        "output_tokens": 600,
        "num_model_requests": 2,
        "model": SERVED,
        **changes,
    }


def anthropic_page(*results: dict[str, Any], start: datetime = DAY) -> dict[str, Any]:
    bucket = {
        "starting_at": start.isoformat().replace("+00:00", "Z"),
        "ending_at": (start + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "results": list(results),
    }
    return {"data": [bucket], "has_more": False, "next_page": None}


def read(tmp_path: Path, document: Any, *, provider: str = "openai") -> Report:
    path = tmp_path / "report.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_report(path, report_readers(), provider=provider)


@dataclass
class Ledger:
    server: fakeredis.FakeServer

    async def settle(self, *records: AttemptRecord) -> None:
        async with fakeredis.FakeAsyncRedis(server=self.server) as client:
            await settle(client, records)

    def compare(
        self,
        report: Report,
        *,
        provider: str = "openai",
        where: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        tolerance: Tolerance | None = None,
    ) -> Comparison:
        reader = UsageReader(fakeredis.FakeRedis(server=self.server), now=NOW)
        return compare(
            report,
            reader,
            where={"provider": provider, **(where or {})},
            aliases=aliases or {},
            tolerance=tolerance or Tolerance(),
        )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(fakeredis.FakeServer())


def differences(comparison: Comparison) -> list[tuple[str, str, Sequence[str]]]:
    return [(str(line.day), line.model, line.differs) for line in comparison.lines if line.differs]


async def test_openai_usage_is_equal_to_the_token(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b"), usage_record("other", provider="anthropic"))

    comparison = ledger.compare(read(tmp_path, openai_page(completions())))

    assert comparison.equal
    (line,) = comparison.lines
    assert (line.day, line.model) == (date(2026, 11, 23), SERVED)
    assert line.vendor == line.ledger == {"all_input": 2_400, "cached_input": 400, "output": 600}


async def test_one_token_more_is_a_difference(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b"))

    comparison = ledger.compare(read(tmp_path, openai_page(completions(output_tokens=601))))

    assert not comparison.equal
    assert differences(comparison) == [("2026-11-23", SERVED, ["output"])]
    assert comparison.total.differs == ["output"]
    assert ledger.compare(
        read(tmp_path, openai_page(completions(output_tokens=601))), tolerance=Tolerance(percent=Decimal("0.2"))
    ).equal


async def test_written_cache_is_part_of_openais_input(ledger: Ledger, tmp_path: Path) -> None:
    usage = TokenUsage(input=500, cached_input=200, cache_write=300, output=10)
    await ledger.settle(usage_record("a", usage=usage))
    result = completions(input_tokens=1_000, input_cached_tokens=200, input_cache_write_tokens=300, output_tokens=10)

    assert ledger.compare(read(tmp_path, openai_page(result))).equal


async def test_usage_that_only_one_side_has_is_a_difference(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(
        usage_record("a"),
        usage_record("b"),
        usage_record("c", served_model="gpt-6-nova"),
        usage_record("d", started_at=DAY + timedelta(days=1, hours=3)),
    )
    pages = [
        openai_page(completions(), completions(model="gpt-5", num_model_requests=1)),
        openai_page(start=DAY + timedelta(days=1)),
    ]

    comparison = ledger.compare(read(tmp_path, pages))

    everything = ["all_input", "cached_input", "output"]
    assert differences(comparison) == [
        ("2026-11-23", "gpt-5", everything),
        ("2026-11-23", "gpt-6-nova", everything),
        ("2026-11-24", SERVED, everything),
    ]


async def test_differences_of_two_models_do_not_hide_in_the_total(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b"))

    comparison = ledger.compare(read(tmp_path, openai_page(completions(model="gpt-5"))))

    assert (comparison.total.differs, comparison.equal) == ([], False)


async def test_only_the_time_of_the_report_is_compared(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(
        usage_record("before", started_at=DAY + timedelta(hours=9)),
        usage_record("a", started_at=DAY + timedelta(hours=10)),
        usage_record("b", started_at=DAY + timedelta(hours=10, minutes=59)),
        usage_record("after", started_at=DAY + timedelta(hours=11)),
    )
    hour = openai_page(completions(), start=DAY + timedelta(hours=10), width=timedelta(hours=1))

    assert ledger.compare(read(tmp_path, hour)).equal


async def test_a_report_that_does_not_tell_models_apart_is_compared_by_day(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b", served_model="gpt-6-nova"))

    comparison = ledger.compare(read(tmp_path, openai_page(completions(model=None))))

    assert ([line.model for line in comparison.lines], comparison.equal) == (["all"], True)


async def test_attempts_of_others_can_be_left_out(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b"), usage_record("c", project="globex", account="globex-inc"))
    report = read(tmp_path, openai_page(completions()))

    assert not ledger.compare(report).equal
    assert ledger.compare(report, where={"project": "acme"}).equal
    assert ledger.compare(report, where={"account": "acme-inc"}).equal


async def test_models_may_be_called_otherwise_by_the_vendor(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a", served_model=None), usage_record("b", served_model=None))
    report = read(tmp_path, openai_page(completions(model="GPT-6 Luna")))

    assert not ledger.compare(report).equal
    assert ledger.compare(report, aliases={"GPT-6 Luna": "gpt-6-luna"}).equal


async def test_openai_costs_are_compared_within_a_cent(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a", cost_usd="1.251"), usage_record("b", cost_usd=None))

    def costs(amount: float) -> Report:
        result = {"object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"}}
        items = [{**result, "line_item": f"{SERVED}, input"}, {**result, "line_item": f"{SERVED}, output"}]
        return read(tmp_path, openai_page(*items))

    assert ledger.compare(costs(0.625)).equal
    assert not ledger.compare(costs(0.64)).equal
    assert ledger.compare(costs(0.625)).lines[0].unpriced == 1


async def test_anthropic_usage_is_equal_to_the_token(ledger: Ledger, tmp_path: Path) -> None:
    usage = TokenUsage(input=500, cached_input=200, cache_write=30, output=10)
    await ledger.settle(usage_record("a", provider="anthropic", served_model="claude-haiku-5-5", usage=usage))
    result = {
        "uncached_input_tokens": 500,
        "cache_read_input_tokens": 200,
        "cache_creation": {"ephemeral_1h_input_tokens": 10, "ephemeral_5m_input_tokens": 20},
        "output_tokens": 10,
        "model": "claude-haiku-5-5",
        "service_tier": "standard",
    }

    comparison = ledger.compare(read(tmp_path, anthropic_page(result), provider="anthropic"), provider="anthropic")

    assert comparison.equal
    assert comparison.total.ledger == {"input": 500, "cached_input": 200, "cache_write": 30, "output": 10}


async def test_anthropic_costs_are_cents(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a", provider="anthropic", cost_usd="1.2345"))
    report = read(
        tmp_path, anthropic_page({"amount": "123.45", "currency": "USD", "model": SERVED}), provider="anthropic"
    )

    comparison = ledger.compare(report, provider="anthropic", tolerance=Tolerance(usd=Decimal(0)))

    assert comparison.equal


@pytest.mark.parametrize("shape", ["a page", "pages", "lines of pages", "buckets"])
def test_pages_may_come_together_in_any_way(tmp_path: Path, shape: str) -> None:
    pages = [openai_page(completions()), openai_page(completions(), start=DAY + timedelta(days=1))]
    document = {
        "a page": {"data": [*pages[0]["data"], *pages[1]["data"]]},
        "pages": pages,
        "lines of pages": "\n".join(map(json.dumps, pages)),
        "buckets": [bucket for page in pages for bucket in page["data"]],
    }[shape]

    report = read(tmp_path, document)

    assert sorted(report.days) == [date(2026, 11, 23), date(2026, 11, 24)]
    assert len(report.rows) == 2


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("not json", "Expecting value"),
        ([], "it is empty"),
        ({"data": [{"start_time": 1}]}, "'results' is missing"),
        ({"data": [{"start_time": "soon", "end_time": 1, "results": []}]}, "'soon' is neither"),
        ({"data": [{"start_time": 1795392000, "end_time": 1795478400, "results": [{"input_tokens": "many"}]}]}, "many"),
        ({"data": [7]}, "is not a usage report"),
    ],
)
def test_what_is_no_report_is_refused_with_a_reason(tmp_path: Path, document: Any, what: str) -> None:
    with pytest.raises(UnreadableReport, match=what):
        read(tmp_path, document)


def test_costs_in_another_currency_are_not_taken_for_dollars(tmp_path: Path) -> None:
    result = {"object": "organization.costs.result", "amount": {"value": 1.0, "currency": "eur"}}

    with pytest.raises(UnreadableReport, match="costs are in eur"):
        read(tmp_path, openai_page(result))


def test_a_vendor_without_a_known_format_needs_columns(tmp_path: Path) -> None:
    with pytest.raises(UnreadableReport, match=r"no report format of vertex is known here; .*--columns"):
        read(tmp_path, "{}", provider="vertex")


def table(tmp_path: Path, text: str, columns: str) -> Report:
    path = tmp_path / "report.csv"
    path.write_text(text, encoding="utf-8-sig")
    return read_table(path, parse_columns(columns))


def test_a_csv_without_lines_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnreadableReport, match="no line below them"):
        table(tmp_path, "Day,In\n", "time=Day,tokens_in=In")


async def test_any_csv_is_read_by_its_columns(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.settle(usage_record("a"), usage_record("b"))
    text = (
        "Usage date,Model,In,Cached,Out,Cost\n"
        f'2026-11-23T11:00:00Z,{SERVED},"1,200",200,300,0.000252\n'
        f"2026-11-23 23:59:00 UTC,{SERVED},1200.0,200,300,0.000252\n"
    )
    columns = "time=Usage date,model=Model,tokens_in=In,tokens_cached=Cached,tokens_out=Out,cost=Cost"

    comparison = ledger.compare(table(tmp_path, text, columns), tolerance=Tolerance(usd=Decimal(0)))

    assert comparison.equal
    assert list(comparison.quantities) == ["all_input", "cached_input", "output", "cost_usd"]


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ("tokens_in=In", "time and one of the others"),
        ("time=Day", "time and one of the others"),
        ("time=Day,colour=In", "NAME=HEADER"),
        ("time=Day,tokens_in=", "NAME=HEADER"),
        ("time=Day,tokens_in=Input", "no column Input; it has: Day, In"),
    ],
)
def test_columns_that_do_not_fit_are_told(tmp_path: Path, columns: str, what: str) -> None:
    with pytest.raises(UnreadableReport, match=what):
        table(tmp_path, "Day,In\n2026-11-23,1\n", columns)


@pytest.mark.parametrize("line", ["2026-11-23,many", "yesterday,1"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UnreadableReport, match=r"line 3: '(many|yesterday)' is"):
        table(tmp_path, f"Day,In\n2026-11-23,1\n{line}\n", "time=Day,tokens_in=In")


@pytest.mark.parametrize("day", ["20261123", "1795392000", "2026-11-23", "2026-11-24T01:00:00+02:00"])
async def test_days_are_utc_however_they_are_written(ledger: Ledger, tmp_path: Path, day: str) -> None:
    await ledger.settle(usage_record("a"))

    assert ledger.compare(table(tmp_path, f"Day,Out\n{day},300\n", "time=Day,tokens_out=Out")).equal
