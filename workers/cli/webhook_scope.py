"""Whose webhook a command is about: a project's or an account's."""

from dataclasses import dataclass

from config.connections import account_path, project_path
from workers.cli.errors import CommandError, ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A project or an account."""

    #: `project` or `account`.
    kind: str
    name: str
    #: In the parameter store.
    path: str

    @property
    def said(self) -> str:
        """For sentences."""
        return f"{self.kind} '{self.name}'"

    @property
    def flag(self) -> str:
        """For command lines."""
        return f"--{self.kind} {self.name}"


def scope_of(project: str | None, account: str | None) -> Scope:
    """What was named on the command line.

    Raises:
        CommandError: neither or both were.
    """
    if project is not None and account is None:
        return Scope(kind="project", name=project, path=project_path(project))
    if account is not None and project is None:
        return Scope(kind="account", name=account, path=account_path(account))
    raise CommandError("say whose it is: --project P or --account A", code=ExitCode.USAGE)
