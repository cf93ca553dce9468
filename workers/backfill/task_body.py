"""What the backfill task does around its slice: hand over to the next slice, or say why there is none."""

from collections.abc import Callable
from typing import Any

import redis
import structlog
from celery import Celery, Task
from celery.exceptions import Reject

from config.errors import StoreError
from tasks.contract import BACKFILL_TASK, ENTRY_QUEUE
from workers.backfill.driving import Stopped
from workers.backfill.errors import BackfillError
from workers.backfill.state import Held

_log = structlog.get_logger(__name__)


def publish_slice(app: Celery, name: str) -> None:
    """Have workers drive a backfill.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    _slice(app, name).apply_async()


def carry_on(
    task: "Task[Any, Any]",
    name: str,
    drive: Callable[[str, Celery], Stopped],
    *,
    pause: Callable[[], None],
) -> dict[str, str]:
    """Drive one slice as a Celery task.

    The slice replaces itself by the next one, so that no slot is held for hours, and other tasks get their turn. One
    that is lost with its worker is delivered again. Should there be two of a kind, the one that finds a living driver
    ends: at no time do two drive.

    Args:
        task: the bound task.
        name: of the backfill.
        drive: drives for some seconds.
        pause: waits a moment; called before the slice goes back to its queue because Redis or the store is away.

    Raises:
        celery.exceptions.Ignore: the next slice is on its way.
        celery.exceptions.Reject: the slice is back on its queue.
    """
    try:
        stopped = drive(name, task.app)
    except Held as error:
        _log.info("backfill_driven_elsewhere", backfill=name, driver=error.driver)
        return {"backfill": name, "stopped": "driven elsewhere"}
    except BackfillError as error:
        _log.warning("backfill_stopped", backfill=name, error=str(error))
        return {"backfill": name, "stopped": str(error)}
    except (redis.ConnectionError, redis.TimeoutError, StoreError) as error:
        _log.warning("backfill_put_back", backfill=name, error=type(error).__name__)
        pause()
        raise Reject(type(error).__name__, requeue=True) from None
    if stopped is Stopped.ASKED:
        raise task.replace(_slice(task.app, name))
    return {"backfill": name, "stopped": stopped.value}


def _slice(app: Celery, name: str) -> Any:
    return app.signature(BACKFILL_TASK, args=[name], queue=ENTRY_QUEUE)
