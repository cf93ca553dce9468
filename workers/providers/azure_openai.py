"""Azure OpenAI: the Responses API of a resource, with its key.

Only the v1 path is called: it is the current one, and Responses exists on no dated one. An `api_version` of the
connection is passed on as a parameter, which v1 takes (such as `preview`) but does not need.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from config.kinds.azure_openai.endpoint import DEPLOYMENT_RULE, check_azure_endpoint
from tasks.contract import ProviderKind
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import Rule, explain
from workers.providers.listing import Listing
from workers.providers.openai_wire import RESPONSES_RULES, read_responses, responses_body
from workers.providers.rate_limits import OPENAI_HEADERS
from workers.providers.wire import api_key, encode

_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.MODEL_NOT_FOUND, codes=("deploymentnotfound",)),
    Rule(kind=FaultKind.ENDPOINT_INVALID, statuses=(400, 404), says=("api version not supported",)),
    # The quota of a gateway (API Management) in front of the resource.
    Rule(
        kind=FaultKind.QUOTA_EXHAUSTED, statuses=(403,), says=("quota is exceeded", "volume quota", "bandwidth quota")
    ),
    *RESPONSES_RULES,
)

_HINTS: Mapping[FaultKind, str] = {
    FaultKind.CREDENTIAL_REJECTED: "Azure says the same of a good key that belongs to another resource: check that "
    "base_url and key are of the same one.",
    FaultKind.PERMISSION_DENIED: "The resource's network rules may shut this worker out.",
    FaultKind.MODEL_NOT_FOUND: f"Create the deployment in the resource that base_url names; {DEPLOYMENT_RULE}.",
    FaultKind.ENDPOINT_INVALID: "Leave api_version out, and give the resource's base URL alone.",
}


class AzureOpenAIProvider:
    """Speaks to the connection's own resource."""

    kind = ProviderKind.AZURE_OPENAI
    rules: Sequence[Rule] = _RULES

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key cannot be sent."""
        key = api_key(call)
        if isinstance(key, Fault):
            return key
        # The connection was checked when it was built: this only brings what was given to one form.
        base_url = check_azure_endpoint(call.connection.base_url or "")
        version = call.connection.api_version
        return WireRequest(
            method="POST",
            url=f"{base_url}openai/v1/responses" + (f"?{urlencode({'api-version': version})}" if version else ""),
            headers={"api-key": key, "content-type": "application/json"},
            content=encode(responses_body(call)),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        return explain(read_responses(call, response, self.rules), _HINTS)


DIALECT = Dialect(
    provider=lambda _: AzureOpenAIProvider(),
    batches=None,
    limit_headers=OPENAI_HEADERS,
    shares_capacity=False,
    listing=Listing(mark="/responses", path="/models", certain=False),
    report=None,
)
