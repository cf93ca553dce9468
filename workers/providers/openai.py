"""OpenAI: the Responses API with an API key."""

from collections.abc import Sequence

from config.kinds.openai import KIND
from tasks.contract import ProviderKind
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import Rule
from workers.providers.listing import Listing
from workers.providers.openai_report import read_report
from workers.providers.openai_wire import RESPONSES_RULES, read_responses, responses_body
from workers.providers.rate_limits import OPENAI_HEADERS
from workers.providers.wire import api_key, encode


class OpenAIProvider:
    """Speaks to api.openai.com and its regional hosts."""

    kind = ProviderKind.OPENAI
    rules: Sequence[Rule] = RESPONSES_RULES

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key or the organization cannot be sent."""
        key = api_key(call)
        if isinstance(key, Fault):
            return key
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        if organization := call.connection.organization:
            if not organization.isascii():
                return Fault(
                    kind=FaultKind.BAD_REQUEST,
                    message="Nothing was sent to openai: the organization is not an id, such as org-abc123.",
                )
            headers["openai-organization"] = organization
        return WireRequest(
            method="POST",
            url=f"{(call.connection.base_url or KIND.public_url or '').rstrip('/')}/responses",
            headers=headers,
            content=encode(responses_body(call)),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        return read_responses(call, response, self.rules)


DIALECT = Dialect(
    provider=lambda _: OpenAIProvider(),
    batches=None,
    limit_headers=OPENAI_HEADERS,
    shares_capacity=False,
    listing=Listing(mark="/responses", path="/models", certain=True),
    report=read_report,
)
