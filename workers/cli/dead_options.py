"""Which dead letters a command is about, as its command line says it."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, Final

import typer

from tasks.contract import FailureCode, ProviderKind
from workers.cli.errors import CommandError, ExitCode
from workers.cli.options import ProjectOption, identifier
from workers.cli.options import since as parse_since
from workers.dead.letter import Letter
from workers.dead.selection import Selection
from workers.dead.shelf import Shelf, matching

#: Letters that `--limit` can name; there are never so many.
MOST_LETTERS: Final = 1_000_000_000


class Status(StrEnum):
    """How the job ended."""

    FAILED = "failed"
    PARTIAL = "partial"


CauseOption = Annotated[
    str | None,
    typer.Option("--cause", metavar="CODE,…", help="Only what failed for one of these reasons.", show_default=False),
]
ProviderOption = Annotated[ProviderKind | None, typer.Option(help="Only what ended on this kind of provider.")]
ConnectionOption = Annotated[
    str | None, typer.Option("--connection", help="Only what ended on this connection.", callback=identifier)
]
CredentialOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[@VERSION]", help="Only what ended with this credential, or one version of it.", show_default=False
    ),
]
SinceOption = Annotated[
    str | None, typer.Option(help="Only what ended since a span (24h, 7d) or an ISO 8601 date.", show_default=False)
]
UntilOption = Annotated[str | None, typer.Option(help="Only what ended before that.", show_default=False)]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME:VALUE", help="Only jobs with this label; may be repeated."),
]
IdOption = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="Only this job; may be repeated.")]
StatusOption = Annotated[Status | None, typer.Option(help="Only jobs that failed, or only those done in part.")]
AllFlag = Annotated[bool, typer.Option("--all", help="Every letter: needed where nothing else is selected.")]


def _selection(
    *,
    cause: CauseOption = None,
    project: ProjectOption = None,
    provider: ProviderOption = None,
    connection: ConnectionOption = None,
    credential: CredentialOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    label: LabelOption = None,
    ids: IdOption = None,
    status: StatusOption = None,
) -> Selection:
    now = datetime.now(UTC)
    return Selection(
        causes=_causes(cause),
        project=project,
        provider=provider and provider.value,
        connection=connection,
        credential=None if credential is None else _credential(credential),
        since=None if since is None else parse_since(since, now=now),
        until=None if until is None else parse_since(until, now=now, option="--until"),
        labels=_labels(label or []),
        ids=frozenset(ids or []),
        status=status and status.value,
    )


def selects(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options that say which letters it is about, before its own.

    Its first parameter takes the selection. An option that does not say what it should ends the command with
    `typer.BadParameter`.
    """
    which = inspect.signature(_selection).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @wraps(command)
    def with_options(**given: Any) -> None:
        selected = _selection(**{name: given.pop(name) for name in which})
        command(selected, **given)

    parameters = [*which.values(), *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as `inspect` reads it
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def require_selection(selected: Selection, *, everything: bool) -> None:
    """Refuse to take every letter where nobody says so.

    Raises:
        CommandError: nothing is selected, or something beside --all.
    """
    if selected.is_everything is not everything:
        raise CommandError(
            "say which letters: select some, as `byom dead list` shows them, or all of them with --all, and not both",
            code=ExitCode.USAGE,
        )


def selected_pages(shelf: Shelf, selected: Selection, *, newest_first: bool = False) -> Iterator[list[Letter]]:
    """The letters that are selected, page by page; single ones without looking through all."""
    if selected.ids:
        pages = iter([shelf.some(sorted(selected.ids))])
    else:
        pages = shelf.pages(
            project=selected.project, since=selected.since, until=selected.until, newest_first=newest_first
        )
    return matching(pages, selected.fits)


def _causes(text: str | None) -> frozenset[str]:
    causes = frozenset(part.strip() for part in (text or "").split(",") if part.strip())
    if unknown := sorted(causes - set(FailureCode)):
        raise typer.BadParameter(f"there is no cause '{unknown[0]}'; there are: {', '.join(FailureCode)}")
    return causes


def _credential(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"([^@]+)(?:@(\d{1,9}))?", text)
    if match is None:
        raise typer.BadParameter("write NAME, or NAME@VERSION, such as main@3")
    name = identifier(match.group(1))
    assert name is not None  # noqa: S101 - it was given
    return name, None if match.group(2) is None else int(match.group(2))


def _labels(texts: list[str]) -> Mapping[str, str]:
    pairs = [text.partition(":") for text in texts]
    if any(not (name and colon) for name, colon, _ in pairs):
        raise typer.BadParameter("write a label as NAME:VALUE")
    return {name: value for name, _, value in pairs}
