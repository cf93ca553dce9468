"""Connections: account defaults, project overrides, and the effective chain of a project.

Layout in the parameter store (no value here is secret):

    /byom/projects/<project>/profile                {"account": "<account>"}
    /byom/projects/<project>/connections/<name>     a connection of the project
    /byom/accounts/<account>/connections/<name>     a default of the account

A project's connection replaces the account's connection of the same name, field by field: what the project does
not set it inherits. A project with a primary of its own does not also get the account's primary. The account's
credential goes only where the account sends it: a project that changes the endpoint brings its own.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, model_validator

from config.azure import check_azure_endpoint
from config.errors import InvalidConnection, NoConnection, UnknownProject
from config.labels import check_labels
from config.store import ParameterStore, join_path
from tasks.contract import ProviderKind, Role
from tasks.contract.fields import HttpUrl, Identifier, Name
from tasks.contract.problems import problems

#: Which level set a value.
Origin = Literal["project", "account", "default"]

#: A connection as it is stored: only the fields that its level sets, and no name.
_Document = dict[str, Any]

_PROJECTS = "/byom/projects"
_ACCOUNTS = "/byom/accounts"

#: The fields that say where a credential is sent.
_DESTINATION = ("provider", "base_url")

#: The settings that each kind of provider takes beside the common ones.
_SETTINGS: dict[ProviderKind, set[str]] = {
    ProviderKind.OPENAI: {"base_url", "organization"},
    ProviderKind.AZURE_OPENAI: {"base_url", "api_version"},
    ProviderKind.GEMINI: {"base_url"},
    ProviderKind.VERTEX: {"base_url", "gcp_project", "location"},
    ProviderKind.ANTHROPIC: {"base_url"},
    ProviderKind.BEDROCK: {"base_url", "region", "external_id", "structured_output"},
    ProviderKind.OPENAI_COMPATIBLE: {"base_url"},
}


class Connection(BaseModel):
    """One configured provider of an account or project."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Identifier
    provider: ProviderKind
    #: The model id as the provider wants it in a request.
    model: Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=256)]
    #: Allow a model that the catalogue does not know.
    unverified: bool = False
    #: Name of the credential, kept at the same level as the connection; absent for servers without keys.
    credential: Identifier | None = None
    role: Role = Role.PRIMARY
    #: Order among the fallbacks, lowest first.
    order: Annotated[int, Field(ge=0)] = 0
    labels: dict[Identifier, Name] = {}
    #: Replaces the provider's public endpoint; required for `azure_openai` (the resource) and `openai_compatible`.
    base_url: HttpUrl | None = None
    #: OpenAI: the organization to bill.
    organization: Name | None = None
    #: Azure OpenAI: a dated API version; absent means the current v1.
    api_version: Name | None = None
    #: Vertex AI: the GCP project; absent means the service account's own.
    gcp_project: Name | None = None
    #: Vertex AI: where the model runs.
    location: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*\d*$", max_length=64)] | None = None
    #: Bedrock: the AWS region.
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", max_length=64)] | None = None
    #: Bedrock: the external id that the role's trust policy asks for.
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]+$", min_length=2, max_length=1_224)] | None = None
    #: Bedrock: how an answer is held to the schema. Absent means `tool`, a forced tool call, which every model takes;
    #: `native` is enforced by the vendor, where region and model offer it.
    structured_output: Literal["tool", "native"] | None = None
    #: Calls in flight at once; absent means unlimited.
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    #: Size of the token bucket.
    tpm_capacity: Annotated[int, Field(ge=1)] = 90_000
    #: Tokens added to the bucket per second.
    tpm_refill_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1_500

    @model_validator(mode="after")
    def _check(self) -> Self:
        for setting in sorted(set().union(*_SETTINGS.values()) - _SETTINGS[self.provider]):
            if getattr(self, setting) is not None:
                raise ValueError(f"{setting} is not a setting of {self.provider.value}; remove it")
        if self.provider is ProviderKind.AZURE_OPENAI and not self.base_url:
            raise ValueError(
                "base_url is required for azure_openai: the resource's endpoint, such as https://NAME.openai.azure.com/"
            )
        if self.provider is ProviderKind.AZURE_OPENAI and self.base_url:
            check_azure_endpoint(self.base_url)
        if self.base_url and ("?" in self.base_url or "#" in self.base_url):
            raise ValueError("base_url must end before '?' and '#': paths and parameters of a call are added to it")
        if self.provider is ProviderKind.OPENAI_COMPATIBLE:
            if not self.base_url:
                raise ValueError("base_url is required for openai_compatible, such as http://127.0.0.1:8000/v1")
        elif not self.credential:
            raise ValueError(f"a credential is required for {self.provider.value}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConnection:
    """A connection as a project sees it, with where each value comes from."""

    connection: Connection
    project: str
    account: str | None
    #: Path below which the credential lives, such as `/byom/projects/acme/credentials`.
    credential_scope: str
    #: Field name → level that set it.
    origins: dict[str, Origin]

    @property
    def credential_path(self) -> str | None:
        """Where the credential is kept, or None when the connection has none."""
        name = self.connection.credential
        return f"{self.credential_scope}/{name}" if name else None

    @property
    def key(self) -> str:
        """Names across workers what a vendor meters: the credential, or the server without keys, and the model."""
        server = f"{self.credential_scope.removesuffix('/credentials')}/connections/{self.connection.name}"
        return f"{self.credential_path or server}#{self.connection.model}"


def project_path(project: str) -> str:
    """Parameter path of a project.

    Raises:
        StoreError: this cannot be the name of a project.
    """
    return join_path(_PROJECTS, project)


def account_path(account: str) -> str:
    """Parameter path of an account.

    Raises:
        StoreError: this cannot be the name of an account.
    """
    return join_path(_ACCOUNTS, account)


def effective_chain(store: ParameterStore, project: str) -> list[EffectiveConnection]:
    """The primary and then the fallbacks of a project, in the order in which they are tried.

    Raises:
        UnknownProject: the project has no profile.
        NoConnection: it has no primary, neither of its own nor from its account.
        InvalidConnection: a stored connection does not fit its provider, would send the account's credential
            elsewhere, or there are two primaries.
        StoreError: the store cannot be read, or this cannot be the name of a project.
    """
    profile = _profile(store, project)
    if profile is None:
        raise UnknownProject(
            f"project '{project}' is not configured; create it with: byom connection add --project {project} …"
        )
    account = profile.get("account")
    own = _documents(store, project_path(project))
    inherited = _documents(store, account_path(account)) if account else {}
    has_own_primary = any(_is_primary({**inherited.get(name, {}), **document}) for name, document in own.items())
    names = [
        name for name in {**own, **inherited} if name in own or not (has_own_primary and _is_primary(inherited[name]))
    ]
    chain = [_effective(project, account, name, own.get(name, {}), inherited.get(name, {})) for name in names]
    primaries = sorted(link.connection.name for link in chain if link.connection.role is Role.PRIMARY)
    if not primaries:
        raise NoConnection(
            f"project '{project}' has no primary connection; add one with: "
            f"byom connection add --project {project} --role primary …"
        )
    if len(primaries) > 1:
        raise InvalidConnection(f"project '{project}' has {_too_many(primaries)}")
    return sorted(
        chain,
        key=lambda link: (link.connection.role is not Role.PRIMARY, link.connection.order, link.connection.name),
    )


def save_connection(store: ParameterStore, scope: str, document: dict[str, Any]) -> Connection:
    """Validate a connection and write it below `scope` (a project's or an account's path).

    A project's document may leave out what it inherits from the account's connection of the same name; only what it
    sets is written.

    Returns:
        The connection with what it inherits.

    Raises:
        InvalidConnection: it does not fit its provider, has labels that its provider does not take, would send the
            account's credential elsewhere, or would be a second primary; nothing was written.
    """
    name = str(document.get("name", "?"))
    subject = f"connection '{name}' of {scope}"
    inherited = _inherited(store, scope)
    defaults = inherited.get(name, {})
    connection = _validate({**defaults, **document}, subject)
    _check_destination(document, defaults, subject)
    check_labels(connection.provider, connection.labels, subject=subject)
    if connection.role is Role.PRIMARY:
        others = {other: {**inherited.get(other, {}), **own} for other, own in _documents(store, scope).items()}
        primaries = [other for other, merged in others.items() if other != name and _is_primary(merged)]
        if primaries:
            raise InvalidConnection(f"{scope} would have {_too_many([*primaries, name])}")
    own = connection.model_dump(mode="json", include=document.keys() - {"name"})
    store.put(join_path(scope, "connections", connection.name), _stored(own), secure=False)
    return connection


def save_project(store: ParameterStore, project: str, *, account: str | None = None) -> None:
    """Create a project, or move it to another account.

    Raises:
        StoreError: this cannot be the name of a project, or of an account.
    """
    if account:
        account_path(account)
    document = {"account": account} if account else {}
    store.put(join_path(project_path(project), "profile"), _stored(document), secure=False)


def list_projects(store: ParameterStore) -> list[str]:
    """Names of all configured projects."""
    below = [parameter.path.removeprefix(f"{_PROJECTS}/").split("/") for parameter in store.list(_PROJECTS)]
    return [parts[0] for parts in below if parts[1:] == ["profile"]]


def _profile(store: ParameterStore, project: str) -> _Document | None:
    parameter = store.get(join_path(project_path(project), "profile"))
    if parameter is None:
        return None
    subject = f"the profile of project '{project}'"
    profile = _load(parameter.value, subject)
    if not isinstance(profile.get("account"), str | None):
        raise InvalidConnection(f"{subject} is stored damaged: its account is not a name; save it again")
    return profile


def _documents(store: ParameterStore, scope: str) -> dict[str, _Document]:
    return {
        (name := parameter.path.rsplit("/", 1)[1]): _load(parameter.value, f"connection '{name}' of {scope}")
        for parameter in store.list(join_path(scope, "connections"))
    }


def _inherited(store: ParameterStore, scope: str) -> dict[str, _Document]:
    """The account's connections, for the scope of a project that has an account."""
    if not scope.startswith(f"{_PROJECTS}/"):
        return {}
    account = (_profile(store, scope.removeprefix(f"{_PROJECTS}/")) or {}).get("account")
    return _documents(store, account_path(account)) if account else {}


def _effective(
    project: str, account: str | None, name: str, own: _Document, inherited: _Document
) -> EffectiveConnection:
    subject = f"connection '{name}' of project '{project}'"
    connection = _validate({**inherited, **own, "name": name}, subject)
    _check_destination(own, inherited, subject)
    origins: dict[str, Origin] = {
        field: "project" if field in own else "account" if field in inherited else "default"
        for field in Connection.model_fields
    }
    # A credential belongs to the level that named it: an inherited name never resolves among the project's own. A
    # server without keys belongs to the level that gave its address.
    origin = origins["credential" if connection.credential else "base_url"]
    owner = account_path(account) if account and origin == "account" else project_path(project)
    return EffectiveConnection(
        connection=connection,
        project=project,
        account=account,
        credential_scope=join_path(owner, "credentials"),
        origins=origins,
    )


def _check_destination(own: _Document, inherited: _Document, subject: str) -> None:
    """Who may configure a project must not be able to have the account's secret sent to a server of their choice."""
    changed = [field for field in _DESTINATION if field in own and own[field] != inherited.get(field)]
    if changed and inherited.get("credential") and "credential" not in own:
        raise InvalidConnection(
            f"{subject} changes {' and '.join(changed)} and would send the account's credential there; give it a "
            "credential of the project's own, or set 'credential' to null for a server without keys"
        )


def _is_primary(document: _Document) -> bool:
    return bool(document.get("role", Role.PRIMARY) == Role.PRIMARY)


def _too_many(primaries: list[str]) -> str:
    return f"{len(primaries)} primary connections ({', '.join(primaries)}); make all but one a fallback"


def _validate(document: _Document, subject: str) -> Connection:
    try:
        return Connection.model_validate(document)
    except ValidationError as error:
        found = "; ".join(str(problem) for problem in problems(error, whole="connection"))
    raise InvalidConnection(f"{subject} does not fit: {found}")


def _stored(document: _Document) -> SecretStr:
    return SecretStr(json.dumps(document, sort_keys=True))


def _load(value: SecretStr, subject: str) -> _Document:
    try:
        document = json.loads(value.get_secret_value())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidConnection(f"{subject} is stored damaged: not a JSON object; save it again")
    return document
