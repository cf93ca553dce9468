"""Extraction tasks: the public entry and one task per provider. Thin: what happens is in `workers`."""

from typing import Any

from celery import Task, shared_task

from tasks.contract import EXTRACT_TASK, ProviderKind, parse_job, provider_task
from workers.broker.redaction import ByomTask
from workers.conclude import conclude
from workers.routing import Route
from workers.runtime import runtime


@shared_task(name=EXTRACT_TASK, bind=True, base=ByomTask)
def extract(self: "Task[Any, Any]", job: dict[str, Any]) -> Any:
    """Accept a job that a foreign producer published, and send it to the queue of its project's provider."""
    accepted = runtime().accept(parse_job(job), job_id=self.request.id)
    return conclude(self, job, accepted)


def _attempt(self: "Task[Any, Any]", job: dict[str, Any], route: dict[str, Any]) -> Any:
    """Take a job through one connection of this provider."""
    outcome = runtime().attempt(parse_job(job), job_id=self.request.id, route=Route.model_validate(route))
    return conclude(self, job, outcome)


#: One task per provider, so that rate limits, filters and metrics speak of providers.
provider_tasks = {
    kind: shared_task(name=provider_task(kind), bind=True, base=ByomTask)(_attempt) for kind in ProviderKind
}
