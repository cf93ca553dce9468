"""The page of usage, and its table as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from config.prices import PICO
from workers.monitoring import formats
from workers.monitoring.charts import Bar, stacked_bars
from workers.monitoring.pages.base import Page
from workers.monitoring.usage.book import OPEN
from workers.monitoring.usage.causes import Causes, causes_of
from workers.monitoring.usage.query import DIMENSIONS, SORTS, BadQuery, UsageQuery
from workers.monitoring.usage.report import Row, UsageReport, usage_report

#: Lines of the table on the page.
_MOST = 100
#: Seconds that a page spends on days that were never read before.
_PATIENCE = 0.3

_SPANS = {"24h": "24 hours", "48h": "48 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}

#: Names of the choices in the form: parameter, label, value → text.
_CHOICES = (("span", "Time", _SPANS), ("by", "Sum by", DIMENSIONS), ("sort", "Largest by", SORTS))

#: A cell that begins so would be a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with what is written around it."""

    heading: str
    series: Sequence[str]
    highest: str
    drawing: str


class UsagePage(Page):
    """Spend and tokens over time, by whatever is asked for."""

    async def get(self) -> None:
        """Show it."""
        try:
            query = UsageQuery.parse(self.arguments())
        except BadQuery as error:
            self.trouble(400, "No such table", f"In the address of this page, {error}.", tab="usage")
            return
        report, causes = await self.background(lambda: self._look(query))
        self.show(
            "byom_usage.html",
            tab="usage",
            heading="Usage",
            query=query,
            report=report,
            causes=causes,
            charts=charts(report),
            cells=cells,
            choices=_CHOICES,
            dimensions=DIMENSIONS,
        )

    def _look(self, query: UsageQuery) -> tuple[UsageReport, Causes]:
        report = usage_report(self.boards.book.span(query.length, patience=_PATIENCE), query, most=_MOST)
        failures = self.boards.failures.span(query.length, patience=_PATIENCE)
        closed = self.boards.book.now - OPEN
        failed = {point.start: point.sums.failed for point in report.points if point.start + point.length <= closed}
        return report, causes_of(failures, query, failed=failed)


class UsageCsv(Page):
    """The whole table, for spreadsheets and programs."""

    async def get(self) -> None:
        """Send it."""
        try:
            query = UsageQuery.parse(self.arguments())
        except BadQuery as error:
            self.trouble(400, "No such table", f"In the address of this page, {error}.", tab="usage")
            return
        text = await self.background(lambda: usage_csv(self._look(query)))
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="usage-by-{query.by}-{query.span}.csv"')
        self.write(text)

    def _look(self, query: UsageQuery) -> UsageReport:
        return usage_report(self.boards.book.span(query.length), query, most=None)


def cells(row: Row) -> list[str]:
    """A line of the table, without its name."""
    sums = row.sums
    return [
        formats.cost(sums),
        formats.whole(sums.attempts),
        formats.percent(row.failed_share) if sums.failed else "0",
        formats.percent(row.fallback_share) if row.fallback else "0",
        formats.whole(sums.input + sums.cache_write),
        formats.whole(sums.cached_input),
        formats.whole(sums.output),
        formats.seconds(row.queue_wait),
        formats.seconds(row.latency),
    ]


def charts(report: UsageReport) -> list[Chart]:
    """Spend, by primaries and fallbacks; tokens, by what they were."""
    spend, tokens = [], []
    for point in report.points:
        sums, when = point.sums, formats.slice_name(point.start, point.length)
        fallback = point.fallback_cost
        given = sums.input + sums.cache_write
        spend.append(
            Bar(
                label=when,
                values=(sums.cost - fallback, fallback),
                title=f"{when}: {formats.cost(sums)}, {formats.usd(fallback)} of it by fallbacks",
            )
        )
        tokens.append(
            Bar(
                label=when,
                values=(given, sums.cached_input, sums.output),
                title=f"{when}: {formats.whole(given)} input, {formats.whole(sums.cached_input)} cached, "
                f"{formats.whole(sums.output)} output",
            )
        )
    total = report.total.sums
    highest_cost = max((point.sums.cost for point in report.points), default=0)
    highest_tokens = max((point.sums.tokens for point in report.points), default=0)
    every = "day" if report.points and report.points[0].length.days else "hour"
    return [
        Chart(
            heading=f"Spend per {every}",
            series=("Primaries", "Fallbacks"),
            highest=formats.usd(highest_cost),
            drawing=stacked_bars(
                spend,
                description=f"Spend per {every}: {formats.cost(total)} in all, at most {formats.usd(highest_cost)}",
            ),
        ),
        Chart(
            heading=f"Tokens per {every}",
            series=("Input", "Cached", "Output"),
            highest=formats.short(highest_tokens),
            drawing=stacked_bars(
                tokens,
                description=f"Tokens per {every}: {formats.whole(total.tokens)} in all, "
                f"at most {formats.whole(highest_tokens)}",
            ),
        ),
    ]


def usage_csv(report: UsageReport) -> str:
    """All lines of a report; a cost that is not known is empty."""
    numbers = ("attempts", "failed", "unpriced", "input", "cached_input", "cache_write", "output", "reasoning")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([report.query.by, *numbers, "fallback", "cost_usd", "latency_ms", "queue_wait_ms"])
    for row in report.rows:
        sums = row.sums
        known = not sums.unpriced or sums.cost
        writer.writerow(
            [
                f"'{row.name}" if row.name.startswith(_FORMULA) and len(row.name) > 1 else row.name,
                *(getattr(sums, name) for name in numbers),
                row.fallback,
                f"{sums.cost // PICO}.{sums.cost % PICO:012d}" if known else "",
                sums.latency_ms,
                sums.queue_wait_ms,
            ]
        )
    return text.getvalue()
