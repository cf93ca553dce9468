"""Trying one version of a credential with the connections that name it."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.credentials import read_version
from config.settings import Settings
from workers.cli.console import err, out
from workers.cli.scopes import links_naming, scope_words
from workers.cli.verifying import print_checks, verify_all
from workers.clock import SystemClock
from workers.configuration.admin import Admin
from workers.verification import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying a version; without reports there was no connection to try it with."""

    reports: Sequence[Verification]
    words: str

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the version."""
        return all(report.ok for report in self.reports)

    @property
    def works(self) -> bool:
        """Whether a provider has accepted it."""
        return bool(self.reports) and self.ok


def try_version(admin: Admin, settings: Settings, scope: str, name: str, version: int, *, quiet: bool) -> Trial:
    """Call each connection that names the credential with one version of it, and note with the version how that went.

    Args:
        admin: notes it.
        settings: of this process.
        scope: path of the project or account.
        name: of the credential.
        version: active or not.
        quiet: print nothing; else people see every check.

    Raises:
        ConfigError: there is no such version, or the configuration does not fit.
    """
    links = links_naming(admin.store, scope, name)
    if not links:
        words = (
            f"no connection of {scope_words(scope)} names the credential '{name}', so there is nothing to try it with"
        )
        if not quiet:
            err.print(f"Not verified: {words}.")
        return Trial(reports=[], words=words)
    ready = [(link, read_version(admin.store, link, version)) for link in links]
    reports = verify_all(settings, ready, clock=SystemClock(), quiet=quiet)
    problem = next((_words(report) for report in reports if not report.ok), None)
    admin.note_verification(scope, name, version, problem=problem)
    if not quiet:
        for report in reports:
            console = out if report.ok else err
            console.print(f"[bold]{report.connection}: {report.provider.value}[/]")
            print_checks(console, report)
    return Trial(reports=reports, words=problem or "it works")


def _words(report: Verification) -> str:
    failure = report.failure
    said = failure.message if failure else ""
    return f"connection '{report.connection}': {said}"
