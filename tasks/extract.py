"""Extraction tasks: the public entry and one task per provider. Thin: what happens is in `workers`."""

from typing import Any

from celery import Task, shared_task

from tasks.contract import EXTRACT_TASK, ContractError, ExtractionJob, ProviderKind, provider_task
from workers.broker.pool import Done
from workers.broker.redaction import ByomTask
from workers.engine.engine import Outcome
from workers.engine.routing import Route
from workers.enqueue.intake import Accepted, Duplicate
from workers.process import runtime
from workers.task.ahead import HANDLED
from workers.task.arguments import sole_argument
from workers.task.extraction_body import carry_out, conclude


# `throws`: a typed failure is an answer, not an error of the worker; Celery logs it in one line, without a traceback.
# `track_started`: what it accepts waits for its turn from then on, and is not to be called running meanwhile.
@shared_task(name=EXTRACT_TASK, bind=True, base=ByomTask, throws=(ContractError,), track_started=False)
def extract(self: "Task[Any, Any]", *given: Any, **named: Any) -> Any:
    """Accept a job that a foreign producer published, and send it to the queue of its project's provider."""
    here, job = runtime(), sole_argument(given, named, name="job")

    def step(parsed: ExtractionJob, job_id: str) -> Accepted | Duplicate:
        here.guard.check(self.request, job, project=parsed.project, entering=True)
        return here.accept(parsed, job_id)

    return carry_out(self, job, step, pause=here.pause, failed=here.failed, tracing=here.tracing)


class ProviderTask(ByomTask):
    """A task whose work is done on the event loop, ahead of it; it concludes what is left, or does all by itself."""

    abstract = True

    def begin(self, request: dict[str, Any], body: Any, done: Done) -> bool:
        """As `workers.broker.pool.Begin`."""
        return runtime().ahead.begin(self, request, body, done)


def _attempt(self: "Task[Any, Any]", job: dict[str, Any], route: dict[str, Any]) -> Any:
    """Take a job through one connection of this provider."""
    here = runtime()
    if (handled := getattr(self.request, HANDLED, None)) is not None:
        return conclude(self, job, handled, pause=here.pause, failed=here.failed)

    def step(parsed: ExtractionJob, job_id: str) -> Outcome:
        way = Route.model_validate(route)
        here.guard.check(self.request, job, project=parsed.project, replays=way.replays)
        return here.attempt(parsed, job_id, way, here.ahead.delivery_of(vars(self.request)))

    return carry_out(self, job, step, pause=here.pause, failed=here.failed, tracing=here.tracing)


#: One task per provider, so that rate limits, filters and metrics speak of providers.
provider_tasks = {
    kind: shared_task(name=provider_task(kind), bind=True, base=ProviderTask, throws=(ContractError,))(_attempt)
    for kind in ProviderKind
}
