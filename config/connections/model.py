"""A connection: one configured provider of an account or project, and what its options may be."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.connections.profiles import OnSpendCap, Usd
from config.kinds import KINDS, kind_of
from config.places import LOCATION, REGION, check_location, check_region
from tasks.contract import ProviderKind, Role
from tasks.contract.fields import HttpUrl, Identifier, Name

#: The fields that kinds of provider say of themselves whether they take them.
_OWN_SETTINGS = frozenset[str]().union(*(kind.settings for kind in KINDS.values()))

#: The fields that decide whether a call works. When one of them changes, the connection is to be verified again.
VERIFIED_FIELDS = ("provider", "model", "credential", *sorted(_OWN_SETTINGS))

#: The fields that meter a credential; they belong together, whichever level sets them.
LIMIT_FIELDS = (
    "max_concurrency",
    "tpm_capacity",
    "tpm_refill_per_second",
    "output_tpm_capacity",
    "output_tpm_refill_per_second",
    "rpm_capacity",
    "rpm_refill_per_second",
)


def takes(provider: ProviderKind, field: str) -> bool:
    """Whether a provider has any use for a field; most are for all."""
    return field in kind_of(provider).settings or field not in _OWN_SETTINGS


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
    location: (
        Annotated[
            str,
            StringConstraints(max_length=64),
            AfterValidator(check_location),
            Field(json_schema_extra={"pattern": LOCATION}),
        ]
        | None
    ) = None
    #: Bedrock: the AWS region.
    region: (
        Annotated[
            str,
            StringConstraints(max_length=64),
            AfterValidator(check_region),
            Field(json_schema_extra={"pattern": REGION}),
        ]
        | None
    ) = None
    #: Bedrock: the external id that the role's trust policy asks for.
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]+$", min_length=2, max_length=1_224)] | None = None
    #: Bedrock: how an answer is held to the schema. Absent means `tool`, a forced tool call, which every model takes;
    #: `native` is enforced by the vendor, where region and model offer it.
    structured_output: Literal["tool", "native"] | None = None
    #: Calls in flight at once, over all workers; absent means unlimited.
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    #: Size of the token bucket.
    tpm_capacity: Annotated[int, Field(ge=1)] = 90_000
    #: Tokens added to the bucket per second.
    tpm_refill_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1_500
    #: The same for output tokens alone, where the vendor meters them apart; the two above then mean input. Both or
    #: neither.
    output_tpm_capacity: Annotated[int, Field(ge=1)] | None = None
    output_tpm_refill_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    #: The same for requests; absent means unlimited. A refill that is absent is a sixtieth of the capacity.
    rpm_capacity: Annotated[int, Field(ge=1)] | None = None
    rpm_refill_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    #: Spend of this connection in one project, by calendar day and month in UTC.
    spend_cap_day_usd: Usd | None = None
    spend_cap_month_usd: Usd | None = None
    on_spend_cap: OnSpendCap = "wait"

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = kind_of(self.provider)
        for setting in sorted(_OWN_SETTINGS - kind.settings):
            if getattr(self, setting) is not None:
                raise ValueError(f"{setting} is not a setting of {self.provider.value}; remove it")
        for setting, mend in kind.required.items():
            if not getattr(self, setting):
                raise ValueError(mend)
        if kind.endpoint is not None and self.base_url:
            kind.endpoint(self.base_url)
        if self.base_url and ("?" in self.base_url or "#" in self.base_url):
            raise ValueError("base_url must end before '?' and '#': paths and parameters of a call are added to it")
        if kind.needs_credential and not self.credential:
            raise ValueError(f"a credential is required for {self.provider.value}")
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if (self.output_tpm_capacity is None) != (self.output_tpm_refill_per_second is None):
            raise ValueError("output_tpm_capacity and output_tpm_refill_per_second go together; give both or neither")
        if self.rpm_refill_per_second is not None and self.rpm_capacity is None:
            raise ValueError("rpm_refill_per_second needs rpm_capacity, the size of the bucket that it fills")
        return self
