"""How a delivery came out, from the engine's values and Celery's exceptions. Pure."""

import logging

from tasks.contract import ContractError, ExtractionJob, ExtractionResult, Failure, FailureCode
from workers.engine.engine import Collect, HandOff, Outcome, Park
from workers.engine.routing import Route
from workers.enqueue.intake import Accepted, Duplicate
from workers.jobs import Ending
from workers.tracing import Conclusion


def conclusion_of(job: ExtractionJob, outcome: Outcome | Accepted | Duplicate) -> Conclusion:
    """What a step of a job came to."""
    project = {"project": job.project}
    if isinstance(outcome, Collect):
        return Conclusion(event="job_collected", facts={**project, "connection": outcome.connection})
    return _of(outcome, project)


def _of(outcome: Ending | HandOff | Park | Accepted | Duplicate, project: dict[str, str]) -> Conclusion:
    match outcome:
        case Park(reason=reason, seconds=seconds):
            return Conclusion(
                event="job_parked", facts={**project, "reason": reason.value, "seconds": round(seconds, 3)}
            )
        case HandOff(route=route):
            return Conclusion(
                event="job_handed_off", facts={**project, **_on(route), "because": route.history[-1].code.value}
            )
        case Accepted(route=route):
            return Conclusion(event="job_accepted", facts={**project, **_on(route)})
        case Duplicate(job_id=first):
            return Conclusion(event="job_duplicate", facts={**project, "duplicate_of": first})
    if outcome.result is not None:
        return Conclusion(event="job_ended", facts={**project, **_of_result(outcome.result)})
    assert outcome.failure is not None  # noqa: S101 - the other half of Ending
    return _failed("job_ended", project, outcome.failure)


def refused(job: ExtractionJob | None, error: ContractError) -> Conclusion:
    """The job ended before it began."""
    project = {} if job is None else {"project": job.project}
    code = str(error.details.get("code", "internal"))
    return Conclusion(event="job_refused", facts={**project, "code": code}, error=code)


def ended_unexpectedly(job: ExtractionJob | None) -> Conclusion:
    """The job failed by an error that nobody foresaw."""
    project = {} if job is None else {"project": job.project}
    code = FailureCode.INTERNAL.value
    return Conclusion(event="job_ended", facts={**project, "status": "failed", "code": code}, error=code)


def put_back(error: str, *, is_trouble: bool = False) -> Conclusion:
    """The job goes back to its queue as it was; `error` is a class of error or a phrase of ours."""
    level = logging.WARNING if is_trouble else logging.INFO
    return Conclusion(event="job_put_back", facts={"error": error}, level=level)


def _on(route: Route) -> dict[str, str | int]:
    return {
        "provider": route.provider.value,
        "connection": route.connection,
        "model": route.model,
        "role": route.role.value,
        "hop": route.hop,
    }


def _of_result(result: ExtractionResult) -> dict[str, str | int | float]:
    usage = result.usage
    return {
        "status": result.status.value,
        "episodes": len(result.episodes),
        "failed_episodes": sum(episode.failure is not None for episode in result.episodes),
        "attempts": usage.attempts,
        "input": usage.tokens.total - usage.tokens.output,
        "output": usage.tokens.output,
        "cost_usd": usage.cost_usd or "unknown",
    }


def _failed(event: str, project: dict[str, str], failure: Failure) -> Conclusion:
    code = str(failure.code)
    where = {
        "provider": failure.provider and str(failure.provider),
        "connection": failure.connection,
        "model": failure.model,
    }
    known = {name: value for name, value in where.items() if value is not None}
    return Conclusion(
        event=event,
        facts={**project, "status": "failed", "code": code, **known, "attempts": len(failure.attempts)},
        error=code,
    )
