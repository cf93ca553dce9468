"""Verifying connections from a command: a process without a runtime makes the calls, and people read the checks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection
from config.credentials import Credential
from config.settings import Settings
from tasks.contract import ProviderKind
from workers.cli.console import err
from workers.clock import Clock
from workers.providers.base import Provider
from workers.providers.registry import build_providers
from workers.providers.transport import Transport, build_transport
from workers.verification import Check, Status, Verification, verify

_T = TypeVar("_T")
Providers = Mapping[ProviderKind, Provider]

_MARKS = {
    Status.OK: "[green]  ok  [/]",
    Status.WARNING: "[yellow] warn [/]",
    Status.FAILED: "[bold red]FAILED[/]",
    Status.SKIPPED: "[dim]   -  [/]",
}


def verify_all(
    settings: Settings,
    links: Sequence[tuple[EffectiveConnection, Credential | None]],
    *,
    clock: Clock,
    quiet: bool,
) -> list[Verification]:
    """Verify connections side by side; each makes a real call. `quiet` shows no sign that something is under way."""
    catalogue = load_catalogue()

    async def calls(providers: Providers, transport: Transport) -> list[Verification]:
        one_by_one = (
            verify(
                effective,
                credential,
                providers=providers,
                transport=transport,
                catalogue=catalogue,
                clock=clock,
                timeout=settings.call_timeout,
            )
            for effective, credential in links
        )
        return await asyncio.gather(*one_by_one)

    return run_calls(settings, calls, quiet=quiet)


def run_calls(settings: Settings, calls: Callable[[Providers, Transport], Awaitable[_T]], *, quiet: bool) -> _T:
    """Make calls to providers on a transport that is closed afterwards; `quiet` as in `verify_all`."""

    async def run() -> _T:
        transport = build_transport(settings)
        try:
            return await calls(build_providers(fetch=transport.fetch), transport)
        finally:
            await transport.aclose()

    if quiet:
        return asyncio.run(run())
    with err.status("Calling the provider …"):
        return asyncio.run(run())


def print_checks(console: Console, report: Verification) -> None:
    """The checks of one connection, with the mends; those that had to wait for the failed one are only named."""
    waiting = [check for check in report.checks if report.failure and check.status is Status.SKIPPED]
    for check in (check for check in report.checks if check not in waiting):
        console.print(f"{_MARKS[check.status]}  [bold]{_words(check)}[/]  {escape(check.message)}")
        if check.mend:
            console.print(f"        → {escape(check.mend)}")
    if waiting:
        names = ", ".join(map(_words, waiting))
        console.print(f"{_MARKS[Status.SKIPPED]}  [dim]not known before that is mended: {names}[/]")


def _words(check: Check) -> str:
    return check.name.value.replace("_", " ")


def spent(report: Verification) -> str:
    """What a verification cost, for people."""
    calls = "1 call" if len(report.attempts) == 1 else f"{len(report.attempts)} calls"
    cost = "cost unknown" if report.cost_usd is None else f"${report.cost_usd:.6f}"
    return f"{calls}, {report.usage.total} tokens, {cost}, {report.latency:.1f} s"
