"""Which wire formats the simulator speaks, and below which prefix.

| provider | base URL for a client |
|---|---|
| OpenAI | `http://HOST:PORT/openai/v1` |
| any OpenAI-compatible server | `http://HOST:PORT/compatible/v1` |
| Anthropic | `http://HOST:PORT/anthropic` |
| Bedrock | `http://HOST:PORT/bedrock` |
| Azure OpenAI | `http://HOST:PORT/azure` |
| Gemini | `http://HOST:PORT/gemini` |
| Vertex AI | `http://HOST:PORT/vertex`, and `http://HOST:PORT/oauth2/token` for access tokens |

Bedrock's callers sign: store `simulated_credential(ID)` as their credential, and open the account under the access key
id `ID`.
Vertex's callers have a service account: store `simulated_key_file(EMAIL)`, and open the account under the address
`EMAIL`.

A further vendor is one more module with one `Wire` class, and one more `Mount` here.
"""

from workers.embedded.simulator.wire.anthropic import AnthropicMessages
from workers.embedded.simulator.wire.anthropic_batches import AnthropicBatches
from workers.embedded.simulator.wire.azure import AzureResponses
from workers.embedded.simulator.wire.base import Mount, Operation, Route, Wire
from workers.embedded.simulator.wire.bedrock import BedrockConverse
from workers.embedded.simulator.wire.gemini_batches import GeminiBatches
from workers.embedded.simulator.wire.google import GeminiGenerate, VertexGenerate
from workers.embedded.simulator.wire.google_oauth import AccessTokens, GoogleOAuth
from workers.embedded.simulator.wire.openai_chat import OpenAIChat
from workers.embedded.simulator.wire.openai_compatible import OpenAICompatible
from workers.embedded.simulator.wire.openai_responses import OpenAIResponses

_ACCESS_TOKENS = AccessTokens()

MOUNTS: tuple[Mount, ...] = (
    Mount(name="openai", prefix="/openai", base="/openai/v1", wire=OpenAIResponses()),
    Mount(name="openai", prefix="/openai", base="/openai/v1", wire=OpenAIChat()),
    Mount(name="compatible", prefix="/compatible", base="/compatible/v1", wire=OpenAICompatible()),
    Mount(name="anthropic", prefix="/anthropic", base="/anthropic", wire=AnthropicBatches()),
    Mount(name="anthropic", prefix="/anthropic", base="/anthropic", wire=AnthropicMessages()),
    Mount(name="bedrock", prefix="/bedrock", base="/bedrock", wire=BedrockConverse()),
    Mount(name="azure", prefix="/azure", base="/azure", wire=AzureResponses()),
    Mount(name="gemini", prefix="/gemini", base="/gemini", wire=GeminiBatches()),
    Mount(name="gemini", prefix="/gemini", base="/gemini", wire=GeminiGenerate()),
    Mount(name="vertex", prefix="/vertex", base="/vertex", wire=VertexGenerate(_ACCESS_TOKENS)),
    Mount(name="google_oauth", prefix="/oauth2", base="/oauth2/token", wire=GoogleOAuth(_ACCESS_TOKENS)),
)

__all__ = ["MOUNTS", "Mount", "Operation", "Route", "Wire"]
