"""From the ending of a job to lines of the sink, and to sums. Pure.

A line of the sink is `{"line", "id", "episode_ids", "job_id", "status", "result" | "failure"}`.

Sums, whole numbers by name:

    lines       of the file that were looked at; bad ones and duplicates are among them
    duplicates  lines whose content came before: done once
    invalid     lines that are no job
    rerun       jobs that ran again, since how they ended was not known any more
    jobs        that have ended; and of lines: succeeded, partial, failed, cancelled, known (its key ran elsewhere)
    fallbacks   jobs in which a fallback was called
    attempts    calls; input, cached_input, cache_write, output, reasoning: their tokens
    pico        their cost in pico-dollars
    unpriced    jobs whose cost is not known
    code:<code> lines that failed, by their code
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from tasks.contract import ExtractionResult, Failure, FailureCode, JobStatus, Role, UsageTotals
from workers.backfill.state.base import Flight, LineRef
from workers.engine.endings import totals
from workers.jobs import Ending

#: Pico-dollars of a dollar, as a power of ten.
_PICO: Final = 12

#: Written in the sink for lines that did not become memories.
FAILED: Final = "failed"
INVALID: Final = "invalid"


def rows(flight: Flight, ending: Ending) -> Iterator[dict[str, Any]]:
    """The lines of the sink for one job."""
    for place, line in enumerate(flight.lines):
        status, outcome = _outcome(line, ending if len(flight.lines) == 1 else _part(ending, line, first=place == 0))
        yield {
            "line": line.number,
            "id": line.id or None,
            "episode_ids": list(line.episode_ids),
            "job_id": flight.job_id,
            "status": status,
            **outcome,
        }


def _outcome(line: LineRef, ending: Ending) -> tuple[str, dict[str, Any]]:
    if ending.result is None:
        return (FAILED if line.id else INVALID), {"failure": _plain(ending.failure)}
    return ending.result.status.value, {"result": _plain(ending.result)}


def _part(ending: Ending, line: LineRef, *, first: bool) -> Ending:
    """What of the ending of a shared job is one line's. Its usage stands in the first line, so that sums are right."""
    result, failure = ending.result, ending.failure
    if result is None:
        return ending if first or failure is None else Ending(failure=failure.model_copy(update={"attempts": []}))
    mine = [episode for episode in result.episodes if episode.episode_id in line.episode_ids]
    failures = [episode.failure for episode in mine if episode.failure is not None]
    if mine and len(failures) == len(mine):
        return Ending(failure=failures[0].model_copy(update={"attempts": result.attempts if first else []}))
    others = {episode.episode_id for episode in result.episodes} - set(line.episode_ids)
    changes: dict[str, Any] = {
        "status": JobStatus.PARTIAL if failures else JobStatus.SUCCEEDED,
        "episodes": mine,
        "warnings": [warning for warning in result.warnings if warning.episode_id not in others],
    }
    if not first:
        changes |= {"attempts": [], "usage": UsageTotals()}
    return Ending(result=result.model_copy(update=changes))


def _plain(record: ExtractionResult | Failure | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json", exclude_none=True)


def as_text(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Lines of the sink as JSON Lines."""
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def sums_of(flight: Flight, ending: Ending) -> Counter[str]:
    """What a job adds to the sums."""
    sums: Counter[str] = Counter()
    for place, line in enumerate(flight.lines):
        part = ending if len(flight.lines) == 1 else _part(ending, line, first=place == 0)
        sums[_word(line, part)] += 1
        if part.failure is not None and line.id:
            sums[f"code:{part.failure.code}"] += 1
    if not any(line.id for line in flight.lines):
        return sums
    records = (ending.result or ending.failure or Failure(code=FailureCode.INTERNAL, message="")).attempts
    usage = totals(records)
    tokens = usage.tokens.model_dump()
    sums.update(jobs=1, attempts=usage.attempts, pico=_pico(records), unpriced=usage.cost_usd is None, **tokens)
    sums["fallbacks"] += any(record.role is Role.FALLBACK for record in records)
    return sums


def _word(line: LineRef, ending: Ending) -> str:
    if not line.id:
        return INVALID
    if ending.result is None:
        cancelled = ending.failure is not None and ending.failure.code == FailureCode.CANCELLED
        return "cancelled" if cancelled else FAILED
    return "known" if ending.result.status is JobStatus.DUPLICATE else ending.result.status.value


def _pico(records: Iterable[Any]) -> int:
    return sum(int(Decimal(record.cost_usd).scaleb(_PICO)) for record in records if record.cost_usd is not None)


def usd(pico: int) -> Decimal:
    """Pico-dollars as dollars."""
    return Decimal(pico).scaleb(-_PICO)


def pico(amount: Decimal) -> int:
    """Dollars as pico-dollars."""
    return int(amount.scaleb(_PICO))


def done(sums: Mapping[str, int]) -> int:
    """Lines that are done: in the sink, or duplicates of what is."""
    return sum(sums.get(word, 0) for word in (*ENDS, "duplicates"))


#: How a line may have ended.
ENDS: Final = ("succeeded", "partial", FAILED, "cancelled", "known", INVALID)


def usage_of(sums: Mapping[str, int]) -> UsageTotals:
    """The usage that the sums hold."""
    names = ("input", "cached_input", "cache_write", "output", "reasoning")
    return UsageTotals.model_validate(
        {
            "attempts": sums.get("attempts", 0),
            "tokens": {name: sums.get(name, 0) for name in names},
            "cost_usd": None if sums.get("unpriced") else format(usd(sums.get("pico", 0)).normalize(), "f"),
        }
    )
