"""The verification task, for control planes. Thin: what happens is in `workers`."""

from typing import Any

from celery import Task, shared_task

from tasks.contract import VERIFY_TASK, ContractError, VerificationRequest
from workers.broker.redaction import ByomTask
from workers.process import runtime
from workers.task.arguments import sole_argument
from workers.task.verification_body import carry_out_verification
from workers.verification import Verification


@shared_task(name=VERIFY_TASK, bind=True, base=ByomTask, throws=(ContractError,))
def verify(self: "Task[Any, Any]", *given: Any, **named: Any) -> Any:
    """Call the connections of a project once each, and report what works and what does not."""
    here, request = runtime(), sole_argument(given, named, name="request")

    def step(parsed: VerificationRequest) -> list[Verification]:
        here.guard.check(self.request, request, project=parsed.project, task=VERIFY_TASK, entering=True)
        return here.verify(parsed)

    return carry_out_verification(self, request, step, pause=here.pause)
