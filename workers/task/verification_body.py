"""What the verification task does around its one step: read the request, take the step, tell Celery what came of it."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Reject

from config.errors import ConfigError, StoreError
from tasks.contract import JobRefused, VerificationRequest, parse_verification
from workers.engine.trouble import Trouble
from workers.verification import Verification
from workers.verification.service import as_document

_log = structlog.get_logger(__name__)

#: Takes a validated request, and reports on each connection.
Step = Callable[[VerificationRequest], Sequence[Verification]]


class Findings:
    """Reports as JSON for the backend; logs, events and Flower get the repr, which says only what works."""

    __slots__ = ("_project", "_reports")

    def __init__(self, project: str, reports: Sequence[Verification]) -> None:
        self._project = project
        self._reports = reports

    def __json__(self) -> dict[str, Any]:
        return as_document(self._project, self._reports)

    def __repr__(self) -> str:
        return repr(
            {
                "project": self._project,
                "ok": all(report.ok for report in self._reports),
                **{report.connection: _word(report) for report in self._reports},
            }
        )


def carry_out_verification(task: "Task[Any, Any]", request: Any, step: Step, *, pause: Callable[[], None]) -> Findings:
    """Verify connections as a Celery task. What is wrong with a connection is a finding, not an error.

    Args:
        task: the bound task.
        request: the payload, as it came.
        step: verifies.
        pause: waits a moment; called before a request goes back to its queue because the store is away.

    Raises:
        celery.exceptions.Reject: the request is back on its queue.
        JobRefused: the payload is not acceptable, or there is no such connection.
    """
    parsed = parse_verification(request)
    try:
        return Findings(parsed.project, step(parsed))
    except StoreError as error:
        _log.warning("verification_put_back", task=task.name, error=type(error).__name__)
        pause()
        raise Reject(type(error).__name__, requeue=True) from None
    except ConfigError as error:
        trouble = Trouble.of_configuration(error)
        raise JobRefused(trouble.message, {"code": trouble.code.value, "project": parsed.project}) from None


def _word(report: Verification) -> str:
    failure = report.failure
    return "works" if failure is None else str(failure.problem)
