"""`workers/providers/toy.py`: how a vendor speaks that nobody has heard of."""

from collections.abc import Sequence

from tasks.contract import ProviderKind, TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import HTTP_RULES, Rule, Signal, fault_of
from workers.providers.listing import Listing
from workers.providers.rate_limits import limit_headers
from workers.providers.wire import api_key, count, decode, encode, part

_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(418,), codes=("no_more_marbles",)),
    *HTTP_RULES,
)


class ToyProvider:
    """Speaks to api.toyland.example."""

    kind = ProviderKind("toy")
    rules: Sequence[Rule] = _RULES

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key cannot be sent."""
        key = api_key(call)
        if isinstance(key, Fault):
            return key
        asked = {
            "model": call.connection.model,
            "rules": call.prompt.system,
            "please": call.prompt.user,
            "shape": call.prompt.schema,
            "most": call.prompt.max_output_tokens,
            "tags": dict(call.tags),
        }
        url = f"{call.connection.base_url or 'https://api.toyland.example'}/play"
        headers = {"toy-key": key, "content-type": "application/json"}
        return WireRequest(method="POST", url=url, headers=headers, content=encode(asked))

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        body = decode(response.content) or {}
        if response.status == 200:
            used = part(body, "used")
            usage = TokenUsage(input=count(used.get("in")), output=count(used.get("out")))
            return Reply(text=str(body.get("said")), usage=usage)
        return fault_of(call, response, self.rules, Signal(status=response.status, codes=(str(body.get("why")),)))


DIALECT = Dialect(
    provider=lambda _: ToyProvider(),
    batches=None,
    limit_headers=limit_headers("toy-{what}-{part}"),
    shares_capacity=False,
    listing=Listing(mark="/play", path="/toys", certain=True, holds="toys"),
    report=None,
)
