"""`byom events`: what happened, from the streams of events."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from config.settings import load_settings
from tasks.contract.events import Event, EventKind, Folded, JobEnded
from workers.cli.console import JsonFlag, err, out, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import ProjectOption
from workers.cli.options import since as parse_since
from workers.cli.signals import stop_signals
from workers.notify.reading import EventReader
from workers.redis.impatient import connect

EXAMPLES = examples(
    "byom events",
    "byom events --project acme --kind byom.request_failed --since 1h",
    "byom events --follow --json | jq .data.message",
    notes=f"Kinds: {', '.join(kind for kind in EventKind if kind is not EventKind.WEBHOOK_TEST)}.\n"
    "`job.completed` is an event only where a webhook subscribes to it.",
)


def events(
    project: ProjectOption = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only events of this kind; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option(help="A span (90m, 24h, 7d) or an ISO 8601 date.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those to come, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what happened: rate limits, failing requests, breakers, budgets, credentials, and the ends of jobs."""
    kinds = frozenset(kind or ())
    if unknown := sorted(kinds - {*EventKind}):
        raise CommandError(
            f"no event is called '{unknown[0]}'; choose from: {', '.join(EventKind)}", code=ExitCode.USAGE
        )
    start = parse_since(since, now=datetime.now(UTC)) if since else None

    def show(event: Event) -> bool:
        if (project is not None and event.project != project) or (kinds and event.type not in kinds):
            return False
        if as_json:
            print_json(event.model_dump(mode="json", exclude_none=True))
        else:
            out.print(escape(_line(event)))
        return True

    with connect(load_settings().redis_url) as client, stop_signals() as stop:
        reader = EventReader(client)
        shown = sum(show(event) for event in reader.kept(since=start))
        if follow:
            for event in reader.follow(wanted=lambda: not stop.wanted):
                show(event)
        elif not shown and not as_json:
            err.print("No such events are kept.")


def _line(event: Event) -> str:
    """One event in one line."""
    return f"{event.timestamp:%Y-%m-%d %H:%M:%S}  {event.type}  {_text(event)}"


def _text(event: Event) -> str:
    data = event.data
    match data:
        case Folded():
            causes = ", ".join(f"{code} {count}" for code, count in sorted(data.causes.items()))
            code = f"{data.error_code}  " if data.error_code else ""
            times = f"from {data.first_occurrence:%H:%M:%S} to {data.last_occurrence:%H:%M:%S}"
            return (
                f"{code}project '{data.project}', {data.provider}, {data.model}: "
                f"{data.count} in {data.window_seconds} s ({causes}), {times}"
            )
        case JobEnded():
            why = f": {data.message}" if data.message else ""
            return f"project '{data.project}', job {data.job_id} {data.status}{why}"
    return str(getattr(data, "message", "") or data.model_dump_json(exclude_none=True))
