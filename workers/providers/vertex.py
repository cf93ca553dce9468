"""Vertex AI: Gemini through `generateContent`, with a service account of the customer's GCP project."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from config.kinds.vertex import DEFAULT_LOCATION
from tasks.contract import ProviderKind, Tier
from workers.clock import Clock
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect, Means
from workers.providers.faults import Rule, explain
from workers.providers.google_tokens import GoogleTokens
from workers.providers.google_wire import GOOGLE_RULES, generate_body, read_generated
from workers.providers.rate_limits import NO_HEADERS
from workers.providers.tiers import at_tier
from workers.providers.wire import decode, encode, part

#: All fields that are sent are in it.
VERSION = "v1"

#: Asks for the flex tier, whatever throughput the customer has bought.
_FLEX: Mapping[str, str] = {
    "x-vertex-ai-llm-request-type": "shared",
    "x-vertex-ai-llm-shared-request-type": "flex",
}

#: Locations that are no regions have hosts of their own.
_MULTI_REGIONS = frozenset({"us", "eu"})

_HINTS: Mapping[FaultKind, str] = {
    FaultKind.CREDENTIAL_REJECTED: "The service account or its key may have been deleted or disabled.",
    FaultKind.PERMISSION_DENIED: "The service account needs the role roles/aiplatform.user in the connection's GCP "
    "project, and the Vertex AI API must be enabled there.",
    FaultKind.MODEL_NOT_FOUND: "Not every location serves every model; 'global' serves most.",
}


class VertexProvider:
    """Speaks to aiplatform.googleapis.com in the connection's location."""

    kind = ProviderKind.VERTEX
    rules: Sequence[Rule] = GOOGLE_RULES

    def __init__(self, *, clock: Clock, tokens: GoogleTokens) -> None:
        self._clock = clock
        self._tokens = tokens

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request, with an access token; a fault if there is none."""
        grant = await self._tokens.grant(call)
        if isinstance(grant, Fault):
            return grant
        connection = call.connection
        location = connection.location or DEFAULT_LOCATION
        base_url = (connection.base_url or f"https://{host(location)}").rstrip("/")
        project = quote(connection.gcp_project or grant.project, safe=":")
        model = quote(connection.model, safe="")
        return WireRequest(
            method="POST",
            url=f"{base_url}/{VERSION}/projects/{project}/locations/{location}/publishers/google/models/{model}"
            ":generateContent",
            headers={
                "authorization": f"Bearer {grant.token}",
                "content-type": "application/json",
                **(_FLEX if call.tier is Tier.FLEX else {}),
            },
            content=encode(generate_body(call)),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        answer = explain(read_generated(call, response, self.rules, now=self._clock.now()), _HINTS)
        if call.tier is None:
            return answer
        return at_tier(answer, call, part(decode(response.content), "usageMetadata").get("trafficType"))

    def forget(self, call: Call) -> bool:
        """Drop the token that Google refused; True when another try would carry a new one."""
        return self._tokens.forget(call)


def host(location: str) -> str:
    """The host that serves a location: global, a multi-region, or a region."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _provider(means: Means) -> VertexProvider:
    tokens = GoogleTokens(fetch=means.fetch, clock=means.clock, url=means.token_url)
    return VertexProvider(clock=means.clock, tokens=tokens)


DIALECT = Dialect(
    provider=_provider,
    batches=None,
    limit_headers=NO_HEADERS,
    shares_capacity=True,
    listing=None,
    report=None,
)
