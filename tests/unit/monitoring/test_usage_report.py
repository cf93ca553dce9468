from datetime import timedelta

import pytest

from config.prices import PICO
from tests.monitoring import combination, hour
from workers.monitoring import formats
from workers.monitoring.pages.usage import charts, usage_csv
from workers.monitoring.usage.book import HOUR, Slice, Span
from workers.monitoring.usage.query import DIMENSIONS, BadQuery, UsageQuery
from workers.monitoring.usage.report import usage_report
from workers.monitoring.usage.sums import Combination, Sums


def span(*tables: dict[Combination, Sums]) -> Span[Combination]:
    return Span(slices=[Slice(start=hour(back), length=HOUR, table=table) for back, table in enumerate(tables)])


PRIMARY = combination()
FALLBACK = combination(provider="gemini", model="flash", role="fallback", connection="backup")
GLOBEX = combination(project="globex", account="globex-inc", priority="backfill")

SPAN = span(
    {PRIMARY: Sums(attempts=10, failed=4, cost=3 * PICO, input=100, output=20), GLOBEX: Sums(attempts=1, cost=PICO)},
    {PRIMARY: Sums(attempts=2, cost=PICO, input=10), FALLBACK: Sums(attempts=4, cost=2 * PICO, input=40, output=8)},
)


def test_rows_are_sums_by_what_is_asked_for_and_the_largest_comes_first() -> None:
    report = usage_report(SPAN, UsageQuery(by="project"), most=10)

    assert [(row.name, row.sums.attempts, row.sums.cost // PICO) for row in report.rows] == [
        ("acme", 16, 6),
        ("globex", 1, 1),
    ]
    assert (report.total.sums.attempts, report.total.sums.failed, report.total.sums.input) == (17, 4, 150)


def test_shares_of_failures_and_fallbacks_are_of_all_attempts() -> None:
    report = usage_report(SPAN, UsageQuery(filters={"project": "acme"}), most=10)

    assert (report.total.failed_share, report.total.fallback_share) == (4 / 16, 4 / 16)
    assert report.rows[0].fallback == 4


@pytest.mark.parametrize(
    ("filters", "attempts"),
    [
        ({"project": "acme"}, 16),
        ({"project": "acme", "role": "fallback"}, 4),
        ({"provider": "gemini"}, 4),
        ({"priority": "backfill"}, 1),
        ({"account": "globex-inc", "provider": "gemini"}, 0),
        ({"credential_version": "2"}, 17),
    ],
)
def test_filters_narrow_rows_sums_and_charts_alike(filters: dict[str, str], attempts: int) -> None:
    report = usage_report(SPAN, UsageQuery(filters=filters), most=10)

    assert report.total.sums.attempts == attempts
    assert sum(row.sums.attempts for row in report.rows) == attempts
    assert sum(point.sums.attempts for point in report.points) == attempts


def test_what_does_not_fit_is_added_up_and_nothing_is_lost() -> None:
    many = span({combination(project=f"p{number:03}"): Sums(attempts=number, cost=number) for number in range(1, 301)})

    report = usage_report(many, UsageQuery(sort="attempts"), most=100)

    assert (len(report.rows), report.lines) == (100, 300)
    assert report.rest is not None
    assert report.rest.sums.attempts == sum(range(1, 201))
    assert report.rest.sums.attempts + sum(row.sums.attempts for row in report.rows) == report.total.sums.attempts


@pytest.mark.parametrize(("sort", "first"), [("cost", "b"), ("tokens", "a"), ("attempts", "c"), ("failed", "d")])
def test_rows_are_sorted_by_what_is_asked_for(sort: str, first: str) -> None:
    table = {
        combination(project="a"): Sums(attempts=1, output=9),
        combination(project="b"): Sums(attempts=1, cost=9),
        combination(project="c"): Sums(attempts=9),
        combination(project="d"): Sums(attempts=2, failed=2),
    }

    report = usage_report(span(table), UsageQuery(sort=sort), most=10)

    assert report.rows[0].name == first


def test_a_row_leads_to_its_parts_until_there_is_nothing_left_to_tell_apart() -> None:
    query = UsageQuery(span="7d", sort="tokens")
    seen = [query.by]
    for _ in range(len(DIMENSIONS) - 1):
        query = query.into("x")
        seen.append(query.by)

    assert seen[:3] == ["project", "provider", "model"]
    assert sorted(seen) == sorted(DIMENSIONS)
    assert query.into("x").by == query.by
    assert (query.span, query.sort) == ("7d", "tokens")


def test_an_address_says_the_whole_query_and_is_read_back() -> None:
    query = UsageQuery(span="30d", by="model", sort="failed", filters={"project": "a&b=c", "provider": "openai"})
    arguments = dict(part.split("=") for part in query.address().split("&"))

    assert arguments["project"] == "a%26b%3Dc"
    assert UsageQuery.parse({**arguments, "project": "a&b=c"}) == query
    assert query.without("project").filters == {"provider": "openai"}
    assert query.without("project").by == "project"


@pytest.mark.parametrize("arguments", [{"by": "password"}, {"span": "1y"}, {"sort": "name"}, {"project": "x" * 1_001}])
def test_what_cannot_be_asked_for_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(BadQuery):
        UsageQuery.parse(arguments)


def test_the_csv_has_exact_numbers_and_no_cost_where_none_is_known() -> None:
    table = {
        combination(project="acme"): Sums(attempts=2, failed=1, cost=PICO + 5, input=7, latency_ms=30),
        combination(project="globex"): Sums(attempts=1, unpriced=1, input=7),
    }

    lines = usage_csv(usage_report(span(table), UsageQuery(), most=None)).splitlines()

    header = "project,attempts,failed,unpriced,input,cached_input,cache_write,output,reasoning,fallback,cost_usd,"
    assert lines[0] == f"{header}latency_ms,queue_wait_ms"
    assert lines[1] == "acme,2,1,0,7,0,0,0,0,0,1.000000000005,30,0"
    assert lines[2] == "globex,1,0,1,7,0,0,0,0,0,,0,0"


@pytest.mark.parametrize("name", ["=1+1", "+x", "@sum", "-2", "\tx"])
def test_no_name_becomes_a_formula_in_a_spreadsheet(name: str) -> None:
    table = {combination(model=name): Sums(attempts=1)}

    text = usage_csv(usage_report(span(table), UsageQuery(by="model"), most=None))

    assert f"'{name}" in text.splitlines()[1]


def test_a_chart_is_as_high_as_its_highest_column_and_says_what_it_shows() -> None:
    spend, tokens = charts(usage_report(SPAN, UsageQuery(), most=10))

    assert (spend.heading, tokens.heading) == ("Spend per hour", "Tokens per hour")
    assert spend.highest == "$4.00"
    assert 'y="0.000" height="100.000"' in spend.drawing
    assert 'aria-label="Spend per hour: $7.00 in all, at most $4.00"' in spend.drawing
    # Of the second hour's 3 USD, 2 went to the fallback.
    assert 'class="byom-series-2"' in spend.drawing
    assert "$2.00 of it by fallbacks" in spend.drawing


def test_names_of_longer_times_are_days() -> None:
    assert formats.slice_name(hour(0), HOUR) == "23 Nov 12:00"
    assert formats.slice_name(hour(0), timedelta(days=1)) == "23 Nov"


@pytest.mark.parametrize(
    ("sums", "shown"),
    [
        (Sums(), "$0.00"),
        (Sums(cost=12_345 * PICO // 10), "$1,234.50"),
        (Sums(cost=252 * PICO // 10**6), "$0.000252"),
        (Sums(unpriced=1), "unknown"),
        (Sums(cost=PICO, unpriced=1), "$1.00 + ?"),
    ],
)
def test_a_cost_that_is_not_known_is_never_shown_as_nothing(sums: Sums, shown: str) -> None:
    assert formats.cost(sums) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"), (0, "0 s"), (0.18, "180 ms"), (3.24, "3.24 s"), (75, "1 min 15 s"),
        (4_512, "1 h 15 min"), (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_spans_of_time_are_told_in_their_largest_units(amount: float | None, shown: str) -> None:
    assert formats.seconds(amount) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (999, "999"), (1_234, "1.23k"), (88_900_000, "88.9M")])
def test_large_numbers_are_shortened(number: float, shown: str) -> None:
    assert formats.short(number) == shown


@pytest.mark.parametrize(("share", "shown"), [(0, "0.0 %"), (0.0004, "< 0.1 %"), (0.231, "23.1 %"), (1, "100.0 %")])
def test_a_small_share_is_not_shown_as_none(share: float, shown: str) -> None:
    assert formats.percent(share) == shown
