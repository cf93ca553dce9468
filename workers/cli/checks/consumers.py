"""Checks of the queues: who serves them, what lies where nobody looks."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import redis

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ProviderKind, provider_queue
from workers.broker.transport import Channel
from workers.cli.pauses import paused_projects, resume_command
from workers.lanes.control import Lanes
from workers.lanes.views import list_pauses

from .base import Check, fail, ok, warn

#: Celery's own default queue, where a producer's messages end up that forgot to name ours.
_DEFAULT_QUEUE = "celery"
#: kombu's name for the times at which messages in hand were last renewed.
_UNACKED_INDEX = Channel.unacked_index_key
#: Oldest messages of it to look at.
_SAMPLE = 100


def check_consumers(active_queues: Mapping[str, Iterable[Mapping[str, Any]]] | None, used: set[ProviderKind]) -> Check:
    """Whether each queue that jobs go to has a worker.

    Args:
        active_queues: worker → queues that it serves, as `celery inspect active_queues` answers; None: nobody did.
        used: providers of all configured projects.
    """
    name, mend = "workers", "start one with `byom worker` (or `byom up` on a laptop)"
    if not active_queues:
        return fail(name, "no worker answers", mend)
    served = {queue["name"] for queues in active_queues.values() for queue in queues}
    needed = [ENTRY_QUEUE, *sorted(provider_queue(kind) for kind in used)]
    missing = [queue for queue in needed if queue not in served]
    workers = ", ".join(sorted(active_queues))
    if missing:
        return fail(name, f"{workers} serve nothing of {', '.join(missing)}: jobs there wait for ever", mend)
    return ok(name, f"{workers} serve {', '.join(needed)}")


def check_strays(client: redis.Redis) -> Check:
    """Whether jobs lie in Celery's default queue, which our workers never read."""
    name = f"queue {_DEFAULT_QUEUE}"
    # New messages come in on the left.
    messages = client.lrange(_DEFAULT_QUEUE, -_SAMPLE, -1)
    if not messages:
        return ok(name, "empty")
    total = int(client.llen(_DEFAULT_QUEUE))
    tasks = Counter(_task_name(message) for message in messages)
    strays = tasks[EXTRACT_TASK]
    if strays:
        return fail(
            name,
            f"{strays} of the {len(messages)} oldest of its {total} messages are {EXTRACT_TASK} and wait for ever",
            f'their producer must say send_task("{EXTRACT_TASK}", …, queue="{ENTRY_QUEUE}"); '
            f"move what lies there with: redis-cli LMOVE {_DEFAULT_QUEUE} {ENTRY_QUEUE} RIGHT LEFT (once per message)",
        )
    return ok(name, f"{total} messages of another application ({', '.join(sorted(tasks))})")


def check_depths(client: redis.Redis, *, unrenewed_for: float) -> list[Check]:
    """How much waits, whether messages in hand are still renewed by their workers, and what nobody could read.

    Args:
        client: of the broker.
        unrenewed_for: seconds after which a worker that does not renew its messages is taken for dead.
    """
    queues = [ENTRY_QUEUE, *(provider_queue(kind) for kind in ProviderKind)]
    lanes = Lanes(client)
    depths = {queue: int(client.llen(queue)) for queue in queues}
    depths |= {f"lanes of {queue}": lanes.jobs_in(queue) for queue in queues}
    waiting = ", ".join(f"{queue} {depth:,}" for queue, depth in depths.items() if depth)
    checks = [ok("waiting", waiting or "nothing")]
    for words, project in paused_projects(list_pauses(client)):
        found = f"{words}: nothing of it is handed out, present and future"
        checks.append(warn("paused", found, f"when it is to go on: {resume_command(project)}"))
    in_hand = int(client.zcard(_UNACKED_INDEX))
    seconds, micros = client.time()
    late = int(client.zcount(_UNACKED_INDEX, "-inf", seconds + micros / 1e6 - unrenewed_for))
    if late:
        found = f"{late} of {in_hand} messages in hand were given up by their worker and not yet handed to another"
        checks.append(warn("in hand", found, "they are handed over while a worker runs; start one if none does"))
    else:
        checks.append(ok("in hand", f"{in_hand:,} messages"))
    malformed = int(client.llen(Channel.malformed_key))
    if malformed:
        found = f"{malformed} messages that are not Celery's were set aside in the list {Channel.malformed_key}"
        checks.append(warn("set aside", found, "find the producer that wrote them; then delete the list"))
    return checks


def _task_name(message: bytes | str) -> str:
    try:
        return str(json.loads(message)["headers"]["task"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"
