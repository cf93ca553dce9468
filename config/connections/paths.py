"""Where accounts and projects keep their connections and credentials in the parameter store.

/byom/projects/<project>/profile                 what is set for the project as a whole
/byom/projects/<project>/connections/<name>      a connection of the project
/byom/projects/<project>/credentials/<name>      the life of a credential: its versions and which is active
/byom/projects/<project>/secrets/<name>/<n>      one version's secret; the only values that are stored encrypted
/byom/accounts/<account>/…                       the same, as defaults for the account's projects
"""

from dataclasses import dataclass
from typing import Literal, Self

from config.store import join_path

PROJECTS = "/byom/projects"
ACCOUNTS = "/byom/accounts"
#: Of the path of a project or account: "", byom, projects, <name>.
_LEVEL_SEGMENTS = 4


def project_path(project: str) -> str:
    """Parameter path of a project.

    Raises:
        StoreError: this cannot be the name of a project.
    """
    return join_path(PROJECTS, project)


def account_path(account: str) -> str:
    """Parameter path of an account.

    Raises:
        StoreError: this cannot be the name of an account.
    """
    return join_path(ACCOUNTS, account)


def split_path(path: str) -> tuple[str, str]:
    """The path of the project or account that a parameter belongs to, and the rest of its own path."""
    parts = path.split("/")
    return "/".join(parts[:_LEVEL_SEGMENTS]), "/".join(parts[_LEVEL_SEGMENTS:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where something is set: an account, whose projects inherit it, or a project."""

    kind: Literal["account", "project"]
    name: str

    @classmethod
    def account(cls, name: str) -> Self:
        """The level of an account."""
        return cls(kind="account", name=name)

    @classmethod
    def project(cls, name: str) -> Self:
        """The level of a project."""
        return cls(kind="project", name=name)

    @property
    def path(self) -> str:
        """Its parameter path.

        Raises:
            StoreError: this cannot be the name of an account or project.
        """
        return project_path(self.name) if self.kind == "project" else account_path(self.name)

    @property
    def flag(self) -> str:
        """How a command line names it."""
        return f"--{self.kind} {self.name}"

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"
