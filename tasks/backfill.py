"""The task that drives backfills, so that no terminal must stay open. Thin: what happens is in `workers`."""

from typing import Any

from celery import Task, shared_task

from tasks.contract import BACKFILL_TASK, ContractError
from workers.backfill.task_body import carry_on
from workers.broker.redaction import ByomTask
from workers.process import runtime


@shared_task(name=BACKFILL_TASK, bind=True, base=ByomTask, throws=(ContractError,))
def backfill(self: "Task[Any, Any]", name: str) -> Any:
    """Drive a backfill for some seconds, and leave the rest to whichever worker is free next."""
    here = runtime()
    return carry_on(self, name, here.drive_backfill, pause=here.pause)
