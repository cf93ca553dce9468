"""How a job ends: its result with memories, attempts and usage, or its typed failure. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from tasks.contract import (
    AttemptRecord,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    Provenance,
    TokenUsage,
    UsageTotals,
)
from workers import extraction
from workers.engine.routing import Route
from workers.jobs import Claimed, Ending


def ending_of(
    job: ExtractionJob,
    *,
    job_id: str,
    units: Sequence[extraction.Unit],
    extracted: Mapping[int, extraction.Extracted],
    failures: Mapping[int, Failure],
    records: Sequence[AttemptRecord],
) -> Ending:
    """The ending of a job that goes nowhere else.

    A job fails only if all its episodes failed: what was paid for is never thrown away.

    Args:
        job: the job.
        job_id: its id.
        units: its plan.
        extracted: unit index → its memories.
        failures: unit index → why it has none.
        records: all attempts.
    """
    named = {
        unit.index: failures[unit.index].model_copy(update={"episode_id": unit.episode.id})
        for unit in units
        if unit.index in failures
    }
    episodes, warnings = extraction.assemble(job, units, extracted, named)
    ordered = sorted(records, key=lambda record: record.started_at)
    failed = [episode.failure for episode in episodes if episode.failure is not None]
    if len(failed) == len(episodes):
        episode_id = failed[0].episode_id if len(episodes) == 1 else None
        return Ending(failure=failed[0].model_copy(update={"attempts": ordered, "episode_id": episode_id}))
    return Ending(
        result=ExtractionResult(
            job_id=job_id,
            project=job.project,
            status=JobStatus.PARTIAL if failed else JobStatus.SUCCEEDED,
            usage=totals(ordered),
            episodes=episodes,
            warnings=warnings,
            attempts=ordered,
            provenance=_provenance(ordered),
        )
    )


def quarantined(job: ExtractionJob, *, job_id: str, route: Route, crashes: int, claimed: Claimed) -> Ending:
    """The ending of a job of which workers die.

    Args:
        job: the job.
        job_id: its id.
        route: where it was.
        crashes: workers that died with it in hand, the last one with it alone.
        claimed: what is kept of it.
    """
    message = (
        f"project '{job.project}', connection '{route.connection}' ({route.provider.value}, {route.model}): {crashes} "
        "processes died with this job in hand, the last one with no other; it is not run any more. Look for its id in "
        f"the workers' logs; once that is mended: byom dead replay --id {job_id}"
    )
    failure = Failure(
        code=FailureCode.QUARANTINED,
        message=message,
        project=job.project,
        provider=route.provider,
        connection=route.connection,
        model=route.model,
        attempts=list(claimed.attempts),
    )
    return Ending(failure=failure, replays=max(claimed.replays, route.replays))


def totals(records: Sequence[AttemptRecord]) -> UsageTotals:
    """Sums over attempts; the cost is unknown as soon as one attempt used tokens at an unknown price."""
    tokens = sum((record.usage for record in records), TokenUsage())
    unpriced = any(record.cost_usd is None and record.usage.total for record in records)
    cost = sum((Decimal(record.cost_usd) for record in records if record.cost_usd is not None), Decimal(0))
    saved = [record.tokens_saved for record in records if record.tokens_saved is not None]
    return UsageTotals(
        attempts=len(records),
        tokens=tokens,
        cost_usd=None if unpriced else format(cost.normalize(), "f"),
        tokens_saved=sum(saved) if saved else None,
    )


def _provenance(records: Sequence[AttemptRecord]) -> list[Provenance]:
    """One entry per prompt, connection and served model that gave an answer, in the order of first use."""
    answered: dict[tuple[bool, str, str | None], Provenance] = {}
    for record in records:
        if record.status == "ok":
            is_packed = record.packed is not None
            answered.setdefault(
                (is_packed, record.connection, record.served_model),
                Provenance(
                    prompt_version=extraction.PACKED_PROMPT_VERSION if is_packed else extraction.PROMPT_VERSION,
                    schema_version=extraction.PACKED_SCHEMA_VERSION if is_packed else extraction.SCHEMA_VERSION,
                    provider=record.provider,
                    connection=record.connection,
                    role=record.role,
                    model=record.model,
                    served_model=record.served_model,
                ),
            )
    return list(answered.values())
