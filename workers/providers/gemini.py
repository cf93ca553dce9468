"""Gemini API (AI Studio): `generateContent` with an API key."""

from collections.abc import Sequence
from urllib.parse import quote

from tasks.contract import ProviderKind, Tier
from workers.clock import Clock
from workers.providers.base import Call, Fault, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect, Means
from workers.providers.faults import Rule
from workers.providers.gemini_batches import GeminiBatches
from workers.providers.google_wire import GOOGLE_RULES, gemini_url, generate_body, read_generated
from workers.providers.listing import Listing
from workers.providers.rate_limits import NO_HEADERS
from workers.providers.tiers import at_tier
from workers.providers.wire import api_key, encode


class GeminiProvider:
    """Speaks to generativelanguage.googleapis.com."""

    kind = ProviderKind.GEMINI
    rules: Sequence[Rule] = GOOGLE_RULES

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key cannot be sent."""
        key = api_key(call)
        if isinstance(key, Fault):
            return key
        body = {
            # Prompts would otherwise be kept for up to 55 days, in projects of late 2026 and later.
            "store": False,
            "serviceTier": "flex" if call.tier is Tier.FLEX else "standard",
            **generate_body(call),
        }
        return WireRequest(
            method="POST",
            url=f"{gemini_url(call)}/models/{quote(call.connection.model, safe='')}:generateContent",
            # Never `?key=`: addresses end up in logs.
            headers={"x-goog-api-key": key, "content-type": "application/json"},
            content=encode(body),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        answer = read_generated(call, response, self.rules, now=self._clock.now())
        return at_tier(answer, call, response.headers.get("x-gemini-service-tier"))


def _batches(means: Means) -> GeminiBatches:
    return GeminiBatches(GeminiProvider(clock=means.clock), clock=means.clock)


DIALECT = Dialect(
    provider=lambda means: GeminiProvider(clock=means.clock),
    batches=_batches,
    limit_headers=NO_HEADERS,
    shares_capacity=True,
    listing=Listing(
        mark="/models/",
        path="/models?pageSize=1000",
        certain=True,
        holds="models",
        page="pageToken",
        cursor=lambda body: body.get("nextPageToken"),
    ),
    report=None,
)
