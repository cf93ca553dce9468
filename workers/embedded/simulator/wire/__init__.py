"""Which wire formats the simulator speaks, and below which prefix.

| provider | base URL for a client |
|---|---|
| OpenAI | `http://HOST:PORT/openai/v1` |
| any OpenAI-compatible server | `http://HOST:PORT/compatible/v1` |
| Anthropic | `http://HOST:PORT/anthropic` |
| Bedrock | `http://HOST:PORT/bedrock`, and `http://HOST:PORT/sts/` for roles |
| Azure OpenAI | `http://HOST:PORT/azure` |
| Gemini | `http://HOST:PORT/gemini` |
| Vertex AI | `http://HOST:PORT/vertex`, and `http://HOST:PORT/oauth2/token` for access tokens |

Bedrock's callers sign: store `simulated_credential(ID)` as their credential, and open the account under the access key
id `ID`. Any role is lent to whoever signs so: give workers a simulated key of their own and
`AWS_ENDPOINT_URL_STS`, store the role's ARN as the credential, and open the account under the ARN.
Vertex's callers have a service account: store `simulated_key_file(EMAIL)`, and open the account under the address
`EMAIL`.

A further vendor is one more module with one `Wire` class, and one more `Mount` here.
"""

from collections.abc import Callable

from tasks.contract import ProviderKind
from workers.embedded.simulator.wire.anthropic import AnthropicMessages
from workers.embedded.simulator.wire.anthropic_batches import AnthropicBatches
from workers.embedded.simulator.wire.aws_signature import simulated_credential_of
from workers.embedded.simulator.wire.aws_sts import AwsSts, Sessions
from workers.embedded.simulator.wire.azure import AzureResponses
from workers.embedded.simulator.wire.base import Mount, Operation, Route, Wire, one_word
from workers.embedded.simulator.wire.bedrock import BedrockConverse
from workers.embedded.simulator.wire.gemini_batches import GeminiBatches
from workers.embedded.simulator.wire.google import GeminiGenerate, VertexGenerate
from workers.embedded.simulator.wire.google_accounts import simulated_key_file_of
from workers.embedded.simulator.wire.google_oauth import AccessTokens, GoogleOAuth
from workers.embedded.simulator.wire.openai_chat import OpenAIChat
from workers.embedded.simulator.wire.openai_compatible import OpenAICompatible
from workers.embedded.simulator.wire.openai_responses import OpenAIResponses

_ACCESS_TOKENS = AccessTokens()
_SESSIONS = Sessions()


def _mount(
    provider: ProviderKind | None,
    prefix: str,
    wire: Wire,
    *,
    name: str = "",
    base: str = "",
    secret_of: Callable[[str], str] = one_word,
) -> Mount:
    return Mount(
        provider=provider,
        name=name or prefix.removeprefix("/"),
        prefix=prefix,
        base=f"{prefix}{base}",
        secret_of=secret_of,
        wire=wire,
    )


MOUNTS: tuple[Mount, ...] = (
    _mount(ProviderKind.OPENAI, "/openai", OpenAIResponses(), base="/v1"),
    _mount(ProviderKind.OPENAI, "/openai", OpenAIChat(), base="/v1"),
    _mount(ProviderKind.OPENAI_COMPATIBLE, "/compatible", OpenAICompatible(), base="/v1"),
    _mount(ProviderKind.ANTHROPIC, "/anthropic", AnthropicBatches()),
    _mount(ProviderKind.ANTHROPIC, "/anthropic", AnthropicMessages()),
    _mount(ProviderKind.BEDROCK, "/bedrock", BedrockConverse(sessions=_SESSIONS), secret_of=simulated_credential_of),
    _mount(ProviderKind.AZURE_OPENAI, "/azure", AzureResponses()),
    _mount(ProviderKind.GEMINI, "/gemini", GeminiBatches()),
    _mount(ProviderKind.GEMINI, "/gemini", GeminiGenerate()),
    _mount(ProviderKind.VERTEX, "/vertex", VertexGenerate(_ACCESS_TOKENS), secret_of=simulated_key_file_of),
    _mount(None, "/oauth2", GoogleOAuth(_ACCESS_TOKENS), name="google_oauth", base="/token"),
    _mount(None, "/sts", AwsSts(_SESSIONS), name="aws_sts", base="/"),
)


def stand_in(kind: ProviderKind) -> Mount:
    """Where a kind of provider is simulated."""
    return next(mount for mount in MOUNTS if mount.provider is kind)


__all__ = ["MOUNTS", "Mount", "Operation", "Route", "Wire", "stand_in"]
