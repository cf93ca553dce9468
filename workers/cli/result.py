"""`byom result`: how a job ended, and what it remembered."""

from typing import Annotated

import typer

from config.settings import load_settings
from tasks.contract import JobStatus
from workers.cli.console import JsonFlag, out, print_json
from workers.cli.context import open_producer
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.outcomes import await_outcome, show_memories
from workers.enqueue.producer import JobHandle

EXAMPLES = examples(
    "byom result 7f9c24e8-3b12-4fef-91e0-5a1d9b4c8e21",
    "byom result 7f9c24e8-3b12-4fef-91e0-5a1d9b4c8e21 --wait --json | jq '.episodes[].facts[].fact'",
    notes="Ends with 1 when the job failed, was done in part only, or (with --wait) had not ended in time.",
)

#: Seconds to fetch a result that is there.
_FETCH = 10.0


def result(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `byom enqueue` printed it.")],
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the job has ended.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait.")] = 600,
    as_json: JsonFlag = False,
) -> None:
    """Show the result of a job by its id."""
    if not job_id:
        raise typer.BadParameter("the job's id is empty; `byom enqueue` printed it")
    with open_producer(load_settings()) as producer:
        handle = producer.handle(job_id)
        if not wait and (state := handle.state()) not in _ENDED:
            _show_open(handle, state, as_json=as_json)
            return
        outcome = await_outcome(handle, timeout=timeout if wait else _FETCH)
    if as_json:
        print_json(outcome.as_json())
    else:
        out.print(outcome.line())
        if outcome.result is not None:
            show_memories(outcome.result)
    if not outcome.good:
        raise typer.Exit(ExitCode.FAILED)


_ENDED = {*(status.value for status in JobStatus), "failed"}

_OPEN = {
    "pending": "waiting for its turn, or not known: ids are forgotten some time after the job ended",
    "queued": "in a worker's hands, about to start",
    "running": "being worked on",
    "waiting": "in its lane, until a limit has room or its connection is well again; see: byom lanes list",
    "budget_paused": "in its lane: a spend cap is reached; see: byom limits show",
}


def _show_open(handle: JobHandle, state: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"job_id": handle.id, "status": state})
    else:
        out.print(f"{handle.id}  {state}: {_OPEN.get(state, 'not ended yet')}")
