"""How dead letters are shown. What customers said is shown only where a command says so itself."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from tasks.contract import AttemptRecord
from workers.cli.console import out, print_json, table
from workers.dead.letter import Contents, Letter

#: Characters of a message in the table.
_MESSAGE = 80


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter as a document, without its contents."""
    return {
        **letter.about.model_dump(mode="json"),
        "state": _state(letter),
        "replays": letter.replays,
        "replayed_at": letter.replayed_at and letter.replayed_at.isoformat(),
        "encrypted": letter.key is not None,
    }


def with_contents(letter: Letter, contents: Contents, *, payload: bool) -> dict[str, Any]:
    """A letter as a document with its history, and with the job itself only where `payload` says so."""
    document = {**as_json(letter), "history": [_attempt(one) for one in contents.attempts]}
    return {**document, "job": contents.job} if payload else document


def show_table(letters: Sequence[Letter]) -> None:
    """Print a table of letters."""
    columns = ("ENDED", "JOB", "PROJECT", "STATUS", "CAUSE", "CONNECTION", "CREDENTIAL", "CALLS", "STATE", "MESSAGE")
    out.print(table(columns, map(_row, letters), right=("CALLS",)))


def show_counts(counts: Sequence[tuple[str, int]], *, group: str) -> None:
    """Print how many letters there are of each kind."""
    out.print(
        table((group.upper(), "JOBS"), [(name or "(none)", f"{count:,}") for name, count in counts], right=("JOBS",))
    )


def show_letter(letter: Letter, contents: Contents | None, *, payload: bool, remark: str | None) -> None:
    """Print all of one letter; `remark` says why its contents are missing."""
    about = letter.about
    lines = {
        "job": letter.id,
        "project": about.project,
        "status": about.status,
        "cause": str(about.code),
        "message": about.message,
        "ended": f"{about.ended_at:%Y-%m-%d %H:%M:%S} UTC",
        "connection": _connection(letter),
        "credential": _credential(letter),
        "labels": ", ".join(f"{name}={value}" for name, value in sorted(about.labels.items())),
        "priority": str(about.priority),
        "episodes": f"{about.episodes:,}",
        "failed": ", ".join(f"{one.id} ({one.code})" for one in about.failed_episodes),
        "state": _state(letter),
        "replays": str(letter.replays),
        "kept": "encrypted" if letter.key else "in the clear",
    }
    for name, value in lines.items():
        if value:
            out.print(f"[bold]{name:<11}[/]{escape(value)}")
    if contents is None:
        out.print(f"[yellow]{escape(remark or '')}[/]")
        return
    if contents.attempts:
        columns = ("ATTEMPT", "STARTED", "CONNECTION", "MODEL", "CREDENTIAL", "OUTCOME", "TOKENS", "MS")
        out.print(table(columns, map(_attempt_row, contents.attempts), right=("TOKENS", "MS")))
    else:
        out.print("No call was made for it.")
    if payload:
        print_json(contents.job, indent=2)


def _row(letter: Letter) -> list[str]:
    about = letter.about
    message = about.message if len(about.message) <= _MESSAGE else f"{about.message[: _MESSAGE - 1]}…"
    return [
        f"{about.ended_at:%Y-%m-%d %H:%M:%S}",
        letter.id,
        about.project,
        about.status,
        str(about.code),
        _connection(letter),
        _credential(letter),
        f"{about.attempts:,}",
        _state(letter),
        message,
    ]


def _state(letter: Letter) -> str:
    return "dead" if letter.replayed_at is None else "replayed"


def _connection(letter: Letter) -> str:
    about = letter.about
    return f"{about.connection} ({about.provider})" if about.connection else ""


def _credential(letter: Letter) -> str:
    used = letter.about.credential
    if used is None:
        return ""
    return used.name if used.version is None else f"{used.name}@{used.version}"


def _attempt(record: AttemptRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={"price", "labels", "job_id", "project"}, exclude_none=True)


def _attempt_row(record: AttemptRecord) -> list[str]:
    version = "" if record.credential_version is None else f"v{record.credential_version}"
    return [
        record.attempt,
        f"{record.started_at:%Y-%m-%d %H:%M:%S}",
        f"{record.connection} ({record.provider})",
        record.model,
        version,
        record.status,
        f"{record.usage.total:,}",
        f"{record.latency_ms:,}",
    ]
