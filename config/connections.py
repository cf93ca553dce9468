"""Connections: account defaults, project overrides, and the effective chain of a project.

Layout in the parameter store (no value here is secret):

    /byom/projects/<project>/profile                {"account": "<account>"}
    /byom/projects/<project>/connections/<name>     a connection of the project
    /byom/accounts/<account>/connections/<name>     a default of the account

A project's connection replaces the account's connection of the same name, field by field: what the project does
not set it inherits. A project with a primary of its own does not also get the account's primary.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from config.errors import InvalidConnection, NoConnection, UnknownProject
from config.store import ParameterStore
from tasks.contract import ProviderKind, Role
from tasks.contract.job import Identifier, Name

#: Which level set a value.
Origin = Literal["project", "account", "default"]


#: The settings that each kind of provider takes beside the common ones.
_SETTINGS: dict[ProviderKind, set[str]] = {
    ProviderKind.OPENAI: {"base_url", "organization"},
    ProviderKind.AZURE_OPENAI: {"base_url", "api_version"},
    ProviderKind.GEMINI: {"base_url"},
    ProviderKind.VERTEX: {"base_url", "gcp_project", "location"},
    ProviderKind.ANTHROPIC: {"base_url"},
    ProviderKind.BEDROCK: {"base_url", "region", "external_id"},
    ProviderKind.OPENAI_COMPATIBLE: {"base_url"},
}


class Connection(BaseModel):
    """One configured provider of an account or project."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Identifier
    provider: ProviderKind
    #: The model id as the provider wants it in a request.
    model: Annotated[str, Field(min_length=1, max_length=256)]
    #: Allow a model that the catalogue does not know.
    unverified: bool = False
    #: Name of the credential, kept at the same level as the connection; absent for servers without keys.
    credential: Identifier | None = None
    role: Role = Role.PRIMARY
    #: Order among the fallbacks, lowest first.
    order: Annotated[int, Field(ge=0)] = 0
    labels: dict[Identifier, Name] = {}
    #: Replaces the provider's public endpoint; required for `azure_openai` (the resource) and `openai_compatible`.
    base_url: str | None = None
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
    #: Calls in flight at once; absent means unlimited.
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    #: Size of the token bucket.
    tpm_capacity: Annotated[int, Field(ge=1)] = 90_000
    #: Tokens added to the bucket per second.
    tpm_refill_per_second: Annotated[float, Field(gt=0)] = 1_500

    @model_validator(mode="after")
    def _check(self) -> Self:
        taken = _SETTINGS[self.provider]
        for setting in sorted(set().union(*_SETTINGS.values()) - taken):
            if getattr(self, setting) is not None:
                raise ValueError(f"{setting} is not a setting of {self.provider.value}; remove it")
        if self.provider is ProviderKind.AZURE_OPENAI and not self.base_url:
            raise ValueError(
                "base_url is required for azure_openai: the resource's endpoint, such as https://NAME.openai.azure.com/"
            )
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
        """Names the connection across workers: the level that owns the credential, and the model."""
        return f"{self.credential_path or self.credential_scope}#{self.connection.model}"


def project_path(project: str) -> str:
    """Parameter path of a project."""
    return f"/byom/projects/{project}"


def account_path(account: str) -> str:
    """Parameter path of an account."""
    return f"/byom/accounts/{account}"


def effective_chain(store: ParameterStore, project: str) -> list[EffectiveConnection]:
    """The primary and then the fallbacks of a project, in the order in which they are tried.

    Raises:
        UnknownProject: the project has no profile.
        NoConnection: it has no primary, neither of its own nor from its account.
        InvalidConnection: a stored connection does not fit its provider, or there are two primaries.
    """
    profile = store.get(f"{project_path(project)}/profile")
    if profile is None:
        raise UnknownProject(
            f"project '{project}' is not configured; create it with: byom connection add --project {project} …"
        )
    account = _load(profile.value, f"project '{project}'").get("account")
    own = _documents(store, project_path(project))
    inherited = _documents(store, account_path(account)) if account else {}
    if any(document.get("role", Role.PRIMARY) == Role.PRIMARY for document in own.values()):
        inherited = {
            name: document
            for name, document in inherited.items()
            if name in own or document.get("role", Role.PRIMARY) != Role.PRIMARY
        }
    chain = [_merge(project, account, name, own.get(name), inherited.get(name)) for name in sorted({*own, *inherited})]
    primaries = [link.connection.name for link in chain if link.connection.role is Role.PRIMARY]
    if not primaries:
        raise NoConnection(
            f"project '{project}' has no primary connection; add one with: "
            f"byom connection add --project {project} --role primary …"
        )
    if len(primaries) > 1:
        raise InvalidConnection(
            f"project '{project}' has {len(primaries)} primary connections ({', '.join(primaries)}); "
            "make all but one a fallback"
        )
    return sorted(
        chain,
        key=lambda link: (
            link.connection.role is not Role.PRIMARY,
            link.connection.order,
            link.connection.name,
        ),
    )


def save_connection(store: ParameterStore, scope: str, document: dict[str, Any]) -> Connection:
    """Validate a connection and write it below `scope` (a project's or an account's path).

    Raises:
        InvalidConnection: it does not fit its provider; nothing was written.
    """
    connection = _validate(document, f"connection '{document.get('name', '?')}'")
    stored = json.dumps(connection.model_dump(mode="json", exclude_unset=True, exclude={"name"}), sort_keys=True)
    store.put(f"{scope}/connections/{connection.name}", SecretStr(stored), secure=False)
    return connection


def save_project(store: ParameterStore, project: str, *, account: str | None = None) -> None:
    """Create a project, or move it to another account."""
    document = json.dumps({"account": account} if account else {})
    store.put(f"{project_path(project)}/profile", SecretStr(document), secure=False)


def list_projects(store: ParameterStore) -> list[str]:
    """Names of all configured projects."""
    return [
        parameter.path.split("/")[3]
        for parameter in store.list("/byom/projects")
        if parameter.path.endswith("/profile")
    ]


def _documents(store: ParameterStore, scope: str) -> dict[str, dict[str, Any]]:
    parameters = store.list(f"{scope}/connections")
    return {
        (name := parameter.path.rsplit("/", 1)[1]): _load(parameter.value, f"connection '{name}' of {scope}")
        for parameter in parameters
    }


def _merge(
    project: str, account: str | None, name: str, own: dict[str, Any] | None, inherited: dict[str, Any] | None
) -> EffectiveConnection:
    merged = {**(inherited or {}), **(own or {}), "name": name}
    connection = _validate(merged, f"connection '{name}' of project '{project}'")
    origins: dict[str, Origin] = {
        field: "project" if own and field in own else "account" if inherited and field in inherited else "default"
        for field in Connection.model_fields
    }
    # A credential belongs to the level that named it: an inherited name never resolves among the project's own.
    owner = account_path(account) if account and origins["credential"] == "account" else project_path(project)
    return EffectiveConnection(
        connection=connection,
        project=project,
        account=account,
        credential_scope=f"{owner}/credentials",
        origins=origins,
    )


def _validate(document: dict[str, Any], subject: str) -> Connection:
    try:
        return Connection.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in entry['loc']) or 'connection'}: {entry['msg'].removeprefix('Value error, ')}"
            for entry in error.errors(include_input=False, include_url=False)
        )
        raise InvalidConnection(f"{subject} does not fit: {problems}") from None


def _load(value: SecretStr, subject: str) -> dict[str, Any]:
    try:
        document = json.loads(value.get_secret_value())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidConnection(f"{subject} is stored damaged: not a JSON object; save it again")
    return document
