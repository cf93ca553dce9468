"""What all commands do between a draft and the store: judge one connection, verify it, and say what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import VERIFIED_FIELDS, EffectiveConnection, has_primary
from config.connections.checks import check_chain, check_connection, connection_warnings
from config.connections.draft import Draft
from config.connections.paths import Level
from config.connections.review import level_connections
from config.credential_shapes import credential_problem
from config.credentials import Credential, read_credential
from config.errors import InvalidConnection, MalformedCredential
from config.kinds import kind_of
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import ProviderKind
from workers.cli.changes_to_store import credential_command, has_credential
from workers.cli.console import err, out
from workers.cli.errors import CommandError, ExitCode
from workers.cli.levels import check_heirs
from workers.cli.verifying import print_checks, spent, verify_all
from workers.clock import SystemClock
from workers.providers.endpoints import check_base_url
from workers.verification import Verification

ForceFlag = Annotated[bool, typer.Option("--force", help="Save even if the test call fails.")]
NoVerifyFlag = Annotated[bool, typer.Option("--no-verify", help="Save without a test call.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A connection of a draft that may be saved."""

    link: EffectiveConnection
    #: Whether its chain has a primary.
    complete: bool
    warnings: list[str]


def judge(store: ParameterStore, draft: Draft, level: Level, name: str, *, settings: Settings, at: datetime) -> Judged:
    """See that a connection of a draft may be saved.

    Raises:
        ConfigError: it does not fit, its chain does not fit together, or a project that inherits it would break.
    """
    catalogue = load_catalogue()
    subject = f"connection '{name}' of {level}"
    chain = level_connections(draft.store, level)
    link = next((link for link in chain if link.connection.name == name), None)
    if link is None:
        raise InvalidConnection(
            f"{subject} would have no effect: {level} has a primary of its own, which stands in its place; give this "
            "one the role fallback"
        )
    check_connection(link.connection, subject=subject, catalogue=catalogue, at=at)
    # After what the provider itself asks of its address: that says better what to give instead.
    if link.connection.base_url is not None:
        check_base_url(link.connection.base_url, allow_private=settings.allow_private_endpoints)
    check_chain(chain, subject=str(level), at=at, concerning=name)
    check_heirs(store, draft, level, concerning=name, at=at)
    return Judged(
        link=link,
        complete=has_primary(chain),
        warnings=connection_warnings(link.connection, catalogue=catalogue),
    )


def must_verify(before: EffectiveConnection | None, after: EffectiveConnection) -> bool:
    """Whether a connection changed in what decides whether a call works."""
    if before is None or before.credential_path != after.credential_path:
        return True
    return any(getattr(before.connection, name) != getattr(after.connection, name) for name in VERIFIED_FIELDS)


def stored_credential(store: ParameterStore, link: EffectiveConnection, *, force: bool) -> Credential | None:
    """The credential that a connection names; None when it needs none, or is saved without it by `force`.

    Raises:
        CommandError: the store does not hold it.
        MalformedCredential: it belongs to another kind of provider.
    """
    if has_credential(store, link):
        credential = read_credential(store, link)
        if problem := shape_problem(link, credential):
            raise MalformedCredential(problem)
        return credential
    if force:
        return None
    raise CommandError(
        f"the credential '{link.connection.credential}' is not in the store, so nothing was saved; add it with: "
        f"{credential_command(link)}",
        code=ExitCode.USAGE,
    )


def shape_problem(link: EffectiveConnection, credential: Credential | None) -> str | None:
    """Why a stored credential cannot be that of a connection, such as one that belongs to another kind of provider."""
    if credential is None:
        return None
    connection = link.connection
    problem = credential_problem(
        credential.secret,
        provider=connection.provider,
        region=connection.region,
        own_server=has_own_server(connection.provider, connection.base_url),
    )
    return None if problem is None else f"the credential '{connection.credential}' {problem}"


def has_own_server(provider: ProviderKind, base_url: object) -> bool:
    """Whether keys go to a server of the customer's own. A resource at a vendor has an address of its own, too."""
    return base_url is not None and kind_of(provider).endpoint is None


def verify_link(
    settings: Settings,
    level: Level,
    link: EffectiveConnection,
    credential: Credential | None,
    *,
    force: bool,
    as_json: bool,
) -> Verification | None:
    """Call the model with what is not saved yet; people see every check.

    Returns:
        What came of it; None when there is nothing to call it with, which only `force` allows.

    Raises:
        CommandError: it does not work, and is not forced.
    """
    if credential is None and link.connection.credential is not None:
        return None
    [report] = verify_all(settings, [(link, credential)], clock=SystemClock(), quiet=as_json)
    failure = report.failure
    if not as_json:
        print_checks(out if failure is None else err, report)
    if failure is not None and not force:
        raise CommandError(
            f"connection '{link.connection.name}' of {level} does not work; nothing was "
            f"saved: {failure.message}. To save it all the same, add --force",
            code=ExitCode.FAILED,
            details={"verification": report.as_json()},
        )
    return report


def unsaved(secret: SecretStr | None) -> Credential | None:
    """A secret as a call takes it. It has no version yet: that is the store's to give."""
    return Credential(secret=secret, version=0) if secret else None


def verification_json(report: Verification | None) -> dict[str, Any]:
    """What came of a verification, for programs."""
    return {"verified": report is not None and report.ok, "verification": report.as_json() if report else None}


def print_trial(report: Verification | None, *, later: str = "") -> None:
    """What came of the trial of a connection that was saved, for people.

    Args:
        report: of the trial; None when there was none.
        later: how to make up for it, to stand behind the sentence.
    """
    if report is None:
        out.print(f"It is [yellow]not verified[/]: no call was made with it.{later}")
    elif report.ok:
        out.print(f"Verified with {spent(report)}.")
    else:
        out.print("It [yellow]does not work yet[/] and was saved because of --force.")


def print_warnings(warnings: Sequence[str]) -> None:
    """Warnings, for people."""
    for warning in warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}")
