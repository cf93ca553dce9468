"""What a backfill's own budget allows. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from workers.backfill.lines import pico, usd

#: Jobs that may begin before the first has shown what one costs.
FIRST: Final = 20


def affordable(
    budget: Decimal, sums: Mapping[str, int], *, in_flight: int, expected: str | None, at_once: bool = False
) -> int:
    """Jobs that may begin on top of those in flight, by what one has cost so far.

    An estimate rests on other texts than these. So no more jobs are in flight than have shown already what one costs:
    twenty at first, then twice as many with each round, until the window or the budget is the bound.

    Args:
        budget: USD.
        sums: of the backfill: `jobs`, `pico` (pico-dollars spent), `unpriced`.
        in_flight: jobs.
        expected: USD that one job was estimated at, if it was.
        at_once: the estimate must do for all of them: in batches a round may take a day, and lines that share prompts
            have to come together.
    """
    each = _cost_each(sums, expected)
    if sums.get("unpriced"):
        # Nobody can say what is spent.
        return 0
    shown = max(FIRST, sums.get("jobs", 0)) - in_flight
    if each is None:
        return shown
    left = (pico(budget) - sums.get("pico", 0) - each * in_flight) // max(1, each)
    return max(0, left if at_once else min(left, shown))


def why_at_budget(name: str, budget: Decimal, sums: Mapping[str, int]) -> str:
    """Why a backfill pauses at its budget, and what to do."""
    if unpriced := sums.get("unpriced"):
        return (
            f"it has a budget, and the cost of {unpriced:,} of its jobs is not known, since their model has no price "
            f"here. Go on without one: byom backfill resume {name} --no-budget"
        )
    spent = usd(sums.get("pico", 0))
    return (
        f"its budget of ${budget} allows no further job: ${spent:.4f} are spent. Raise it: "
        f"byom backfill resume {name} --budget USD"
    )


def _cost_each(sums: Mapping[str, int], expected: str | None) -> int | None:
    """Pico-dollars of one job; None where nothing is known yet."""
    if jobs := sums.get("jobs"):
        return -(-sums.get("pico", 0) // jobs)
    return pico(Decimal(expected)) if expected is not None else None
