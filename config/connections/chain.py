"""The effective chain of a project: its own connections, and what it inherits from its account.

A project's connection replaces the account's connection of the same name, field by field: what the project does
not set it inherits. A project with a primary of its own does not also get the account's primary. The account's
credential goes only where the account sends it: a project that changes the endpoint brings its own.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from config.connections.documents import Document, connection_documents
from config.connections.model import LIMIT_FIELDS, Connection
from config.connections.paths import account_path, project_path
from config.connections.profiles import ProjectProfile, read_project
from config.errors import InvalidConnection, NoConnection, UnknownProject
from config.secret_looks import secret_kind
from config.store import ParameterStore, join_path
from tasks.contract import Role
from tasks.contract.problems import Problem, problems

#: Which level set a value.
Origin = Literal["project", "account", "default"]

#: The fields that say where a credential is sent.
_DESTINATION = ("provider", "base_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConnection:
    """A connection as a project sees it, with where each value comes from."""

    connection: Connection
    #: Whose it is; of an account's connection seen on its own, the account.
    project: str
    account: str | None
    #: Path below which the credential lives, such as `/byom/projects/acme/credentials`.
    credential_scope: str
    #: Field name → level that set it.
    origins: dict[str, Origin]
    #: What is set for the project as a whole.
    profile: ProjectProfile = field(default_factory=ProjectProfile)

    @property
    def credential_path(self) -> str | None:
        """Where the credential is kept, or None when the connection has none."""
        name = self.connection.credential
        return f"{self.credential_scope}/{name}" if name else None

    @property
    def key(self) -> str:
        """Names across workers what a vendor meters: the credential, or the server without keys, and the model.

        A project that sets limits of its own for the account's credential gets a meter of its own with it: two
        different bounds cannot be kept in one.
        """
        server = f"{self.credential_scope.removesuffix('/credentials')}/connections/{self.connection.name}"
        own = "" if self._limits_are_the_owners else f"@{self.project}"
        return f"{self.credential_path or server}#{self.connection.model}{own}"

    @property
    def tenant(self) -> str:
        """Whom the meters belong to: all that one call must be admitted by is kept together under this name."""
        return f"a/{self.account}" if self.account else f"p/{self.project}"

    def credential_is_of(self, path: str) -> bool:
        """Whether the credential is kept with this project or account, named by its path, and not inherited by it."""
        return self.credential_scope.startswith(f"{path}/")

    @property
    def _limits_are_the_owners(self) -> bool:
        return self.credential_is_of(project_path(self.project)) or not any(
            self.origins.get(field) == "project" for field in LIMIT_FIELDS
        )


def effective_chain(store: ParameterStore, project: str) -> list[EffectiveConnection]:
    """The primary and then the fallbacks of a project, in the order in which they are tried.

    Raises:
        UnknownProject: the project has no profile.
        NoConnection: it has no primary, neither of its own nor from its account.
        InvalidConnection: a stored connection does not fit its provider, would send the account's credential
            elsewhere, or there are two primaries.
        StoreError: the store cannot be read, or this cannot be the name of a project.
    """
    chain = project_connections(store, project)
    if not has_primary(chain):
        raise NoConnection(
            f"project '{project}' has no primary connection; add one with: "
            f"byom connection add --project {project} --role primary …"
        )
    return chain


def has_primary(chain: list[EffectiveConnection]) -> bool:
    """Whether a chain has the connection that it begins with."""
    return any(link.connection.role is Role.PRIMARY for link in chain)


def project_connections(store: ParameterStore, project: str) -> list[EffectiveConnection]:
    """As `effective_chain`, of a project that need not have a primary yet.

    Raises:
        ConfigError: as `effective_chain`, but for `NoConnection`.
    """
    profile = read_project(store, project)
    if profile is None:
        raise UnknownProject(
            f"project '{project}' is not configured; create it with: byom connection add --project {project} …"
        )
    account = profile.account
    own = connection_documents(store, project_path(project))
    inherited = connection_documents(store, account_path(account)) if account else {}
    has_own_primary = any(is_primary({**inherited.get(name, {}), **document}) for name, document in own.items())
    names = [
        name for name in {**own, **inherited} if name in own or not (has_own_primary and is_primary(inherited[name]))
    ]
    chain = [_effective(project, profile, name, own.get(name, {}), inherited.get(name, {})) for name in names]
    return _in_order(chain, f"project '{project}'")


def account_connections(store: ParameterStore, account: str) -> list[EffectiveConnection]:
    """The connections that an account sets as defaults, in the order in which a project would try them.

    Raises:
        InvalidConnection: one of them does not fit its provider, or there are two primaries.
        StoreError: the store cannot be read, or this cannot be the name of an account.
    """
    scope = account_path(account)
    chain = [
        EffectiveConnection(
            connection=validate({**document, "name": name}, f"connection '{name}' of account '{account}'"),
            project=account,
            account=account,
            credential_scope=join_path(scope, "credentials"),
            origins={field: "account" if field in document else "default" for field in Connection.model_fields},
        )
        for name, document in connection_documents(store, scope).items()
    ]
    return _in_order(chain, f"account '{account}'")


def _in_order(chain: list[EffectiveConnection], subject: str) -> list[EffectiveConnection]:
    primaries = sorted(link.connection.name for link in chain if link.connection.role is Role.PRIMARY)
    if len(primaries) > 1:
        raise InvalidConnection(f"{subject} has {too_many(primaries)}")
    return sorted(
        chain,
        key=lambda link: (link.connection.role is not Role.PRIMARY, link.connection.order, link.connection.name),
    )


def _effective(
    project: str, profile: ProjectProfile, name: str, own: Document, inherited: Document
) -> EffectiveConnection:
    subject = f"connection '{name}' of project '{project}'"
    connection = validate({**inherited, **own, "name": name}, subject)
    check_destination(own, inherited, subject)
    origins: dict[str, Origin] = {
        field: "project" if field in own else "account" if field in inherited else "default"
        for field in Connection.model_fields
    }
    # A credential belongs to the level that named it: an inherited name never resolves among the project's own. A
    # server without keys belongs to the level that gave its address.
    origin = origins["credential" if connection.credential else "base_url"]
    owner = account_path(profile.account) if profile.account and origin == "account" else project_path(project)
    return EffectiveConnection(
        connection=connection,
        project=project,
        account=profile.account,
        credential_scope=join_path(owner, "credentials"),
        origins=origins,
        profile=profile,
    )


def check_destination(own: Document, inherited: Document, subject: str) -> None:
    """See that a project does not send its account's credential elsewhere.

    Who may configure a project must not be able to have the account's secret sent to a server of their choice.

    Raises:
        InvalidConnection: it would.
    """
    changed = [field for field in _DESTINATION if field in own and own[field] != inherited.get(field)]
    if changed and inherited.get("credential") and "credential" not in own:
        raise InvalidConnection(
            f"{subject} changes {' and '.join(changed)} and would send the account's credential there; give it a "
            "credential of the project's own, or set 'credential' to null for a server without keys"
        )


def is_primary(document: Document) -> bool:
    """Whether a document, with what it inherits, is a primary."""
    return bool(document.get("role", Role.PRIMARY) == Role.PRIMARY)


def too_many(primaries: list[str]) -> str:
    """What is said of several primaries."""
    return f"{len(primaries)} primary connections ({', '.join(primaries)}); make all but one a fallback"


def validate(document: Document, subject: str) -> Connection:
    """A document, with what it inherits, as a connection.

    Raises:
        InvalidConnection: it does not fit; says what and how.
    """
    try:
        return Connection.model_validate(document)
    except ValidationError as error:
        found = "; ".join(map(_said, problems(error, whole="connection")))
    raise InvalidConnection(f"{subject} does not fit: {found}")


def _said(problem: Problem) -> str:
    """A problem, without the field's name where a key was pasted in its place."""
    return f"?: {problem.message}" if secret_kind(problem.field) else str(problem)
