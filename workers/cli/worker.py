"""`byom worker`: one worker process in the foreground, as in production."""

import os
from typing import Annotated

import typer

from config.settings import load_settings
from tasks.contract import ENTRY_QUEUE, ProviderKind, provider_queue
from workers.cli.context import environment, put_flags
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.embedded.stack import worker_command
from workers.tracing.opening import tracing_problem

EXAMPLES = examples(
    "byom worker",
    "byom worker --concurrency 200",
    "byom worker --queues openai,anthropic --name fast",
    notes="The process becomes a Celery worker: SIGTERM lets jobs in hand finish, and hands back the rest.",
)


def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-c", min=1, help="Jobs in hand at once, in place of BYOM_CONCURRENCY.", show_default=False
        ),
    ] = None,
    queues: Annotated[
        str | None,
        typer.Option(
            "--queues",
            "-Q",
            help="Providers or queues to serve, separated by commas; without it, all.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Tells workers of one machine apart.")] = "byom",
) -> None:
    """Run a worker: takes jobs from the queues and calls the providers."""
    put_flags(concurrency=concurrency)
    settings = load_settings()
    tracing_problem(settings)
    command = worker_command(concurrency=settings.concurrency, name=name, queues=queue_names(queues))
    # The worker takes this process's place, so that signals and exit codes are Celery's own.
    os.execve(command[0], command, environment(settings))  # noqa: S606 - our own interpreter, no shell wanted


def queue_names(text: str | None) -> list[str]:
    """Queue names from providers (`openai`) and queues (`extract.openai`, `byom.extract`)."""
    if text is None:
        return []
    known = {kind.value: provider_queue(kind) for kind in ProviderKind}
    known |= {queue: queue for queue in (*known.values(), ENTRY_QUEUE)}
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise CommandError(
            f"--queues: there is no queue {', '.join(unknown) or 'named'}; choose from {', '.join(known)}",
            code=ExitCode.USAGE,
        )
    return [known[name] for name in names]
