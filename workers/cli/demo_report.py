"""What the demo shows at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from tasks.contract import Fact
from workers.cli.console import out, print_json
from workers.cli.demo_scenes import Scene
from workers.cli.outcomes import Outcome, validity
from workers.cli.usage_table import usage_as_json, usage_table
from workers.ledger import UsageRow

#: Memories shown of all projects together.
_SHOWN = 21
#: Columns of the usage table.
USAGE_BY = ("project", "provider", "role")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a run."""

    scene: Scene
    #: Project and outcome of each job, in the order in which they ended.
    outcomes: Sequence[tuple[str, Outcome]]
    #: Jobs that a fallback finished.
    fallbacks: int
    usage: Sequence[UsageRow]
    #: Tokens that the provider's own books say it served; None where they cannot be read.
    served_tokens: int | None
    flower_url: str
    seconds: float

    @property
    def failed(self) -> int:
        """Jobs that did not go well."""
        return sum(not outcome.good for _project, outcome in self.outcomes)

    @property
    def surprises(self) -> int:
        """Jobs that did not go well for a reason that the scene does not bring with it."""
        return sum(not outcome.failure_codes <= self.scene.expected for _project, outcome in self.outcomes)

    @property
    def counted_tokens(self) -> int:
        """Tokens in the usage ledger."""
        return sum(row.tokens.total for row in self.usage)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the memories, the usage and where to look further."""
    if as_json:
        print_json(_as_json(report))
        return
    for number, project in enumerate(report.scene.chains):
        out.print(f"\n[bold]Memories of {project}[/]")
        for fact in _sample(_varied(report.outcomes, project), number, _SHOWN // len(report.scene.chains)):
            out.print(f"  • {escape(fact.fact)}{validity(fact)}  [dim]“{escape(fact.evidence)}”[/]")
    out.print("\n[bold]Usage[/]")
    out.print(usage_table(report.usage, by=USAGE_BY))
    if any(row.unpriced for row in report.usage):
        out.print("[dim]A compatible server's price is not known here: its cost is unknown, not zero.[/]")
    jobs = len(report.outcomes)
    out.print(f"\n{jobs} jobs in {report.seconds:.0f} s: {jobs - report.failed} went well, {report.failed} failed.")
    outage = report.scene.outage
    if outage is not None:
        out.print(
            f"While {outage.provider.value} was down for {outage.project}, "
            f"its fallback finished {report.fallbacks} jobs."
        )
    if report.served_tokens is not None:
        verdict = "equal" if report.served_tokens == report.counted_tokens else "[red]not equal[/]"
        out.print(
            f"Tokens in the usage ledger: {report.counted_tokens:,}; "
            f"in the provider's own books: {report.served_tokens:,} ({verdict})."
        )
    for _project, outcome in report.outcomes:
        if not outcome.good:
            out.print(outcome.line())
    out.print(f"[bold]{escape(report.scene.honesty)}[/]")
    out.print(f"Flower: {report.flower_url}")


def _sample(facts: Sequence[Fact], number: int, shown: int) -> Sequence[Fact]:
    """Some facts; other ones for each project, which all have read the same conversations."""
    start = number * shown % max(1, len(facts))
    return [*facts[start:], *facts[:start]][:shown]


def _varied(outcomes: Sequence[tuple[str, Outcome]], project: str) -> Sequence[Fact]:
    """Facts of a project: one of each subject first, dated ones before others, none twice."""
    facts = {
        fact.fact: fact
        for owner, outcome in outcomes
        if owner == project and outcome.result is not None
        for episode in outcome.result.episodes
        for fact in episode.facts
    }
    turns: dict[str, int] = {}
    ranked: list[tuple[int, int, Fact]] = []
    for fact in sorted(facts.values(), key=lambda fact: fact.valid_at is None and fact.invalid_at is None):
        turns[fact.subject] = turns.get(fact.subject, -1) + 1
        ranked.append((turns[fact.subject], len(ranked), fact))
    return [fact for _turn, _place, fact in sorted(ranked, key=lambda entry: entry[:2])]


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "scene": report.scene.name,
        "honesty": report.scene.honesty,
        "jobs": len(report.outcomes),
        "failed": report.failed,
        "fallbacks": report.fallbacks,
        "seconds": round(report.seconds, 1),
        "memories": {
            project: [fact.model_dump(mode="json", exclude_none=True) for fact in _varied(report.outcomes, project)]
            for project in report.scene.chains
        },
        "usage": [usage_as_json(row) for row in report.usage],
        "tokens": {"ledger": report.counted_tokens, "provider": report.served_tokens},
        "flower_url": report.flower_url,
    }
