"""All providers, in one place: a new one is its file and a line here."""

from tasks.contract import ProviderKind
from workers.clock import Clock, SystemClock
from workers.providers.anthropic import AnthropicProvider
from workers.providers.anthropic_batches import AnthropicBatches
from workers.providers.azure_openai import AzureOpenAIProvider
from workers.providers.base import Fault, FaultKind, WireRequest
from workers.providers.batches import BatchProvider
from workers.providers.bedrock import BedrockProvider
from workers.providers.faults import RuledProvider
from workers.providers.gemini import GeminiProvider
from workers.providers.gemini_batches import GeminiBatches
from workers.providers.google_account import TOKEN_URL
from workers.providers.google_tokens import Fetch, GoogleTokens
from workers.providers.openai import OpenAIProvider
from workers.providers.openai_compatible import OpenAICompatibleProvider
from workers.providers.vertex import VertexProvider


def build_batches(*, clock: Clock | None = None) -> dict[ProviderKind, BatchProvider]:
    """The kinds that take many calls in one request, without files, at a lower price."""
    clock = clock or SystemClock()
    return {
        ProviderKind.ANTHROPIC: AnthropicBatches(AnthropicProvider()),
        ProviderKind.GEMINI: GeminiBatches(GeminiProvider(clock=clock), clock=clock),
    }


async def unconnected(request: WireRequest, *, name: str, timeout: float) -> Fault:  # noqa: ARG001, ASYNC109 - the signature is `Fetch`'s
    """Stands in for a transport where providers are only looked at: in lists, docs and checks."""
    return Fault(kind=FaultKind.CONNECT, message=f"Nothing was sent to {name}: this process makes no calls.")


def build_providers(
    *, fetch: Fetch = unconnected, clock: Clock | None = None, token_url: str = TOKEN_URL
) -> dict[ProviderKind, RuledProvider]:
    """One provider per kind that this version can call.

    Args:
        fetch: makes the requests for access tokens; `Transport.fetch` in a worker.
        clock: for signatures, tokens and daily quotas.
        token_url: Google's token endpoint; another only for tests and the simulator.
    """
    clock = clock or SystemClock()
    providers: tuple[RuledProvider, ...] = (
        OpenAIProvider(),
        AzureOpenAIProvider(),
        GeminiProvider(clock=clock),
        VertexProvider(clock=clock, tokens=GoogleTokens(fetch=fetch, clock=clock, url=token_url)),
        AnthropicProvider(),
        BedrockProvider(clock=clock),
        OpenAICompatibleProvider(),
    )
    return {provider.kind: provider for provider in providers}
