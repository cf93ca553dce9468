"""What tests of verification share: a connection of each kind to the simulated vendors."""

from typing import Any

from pydantic import SecretStr

from config.connections import Connection, EffectiveConnection
from config.credentials import Credential
from tasks.contract import ProviderKind
from workers.embedded.simulator import simulated_credential
from workers.embedded.simulator.wire.google_accounts import simulated_key_file

#: Kind → the vendor's name in the simulator, a model of the catalogue (of its own, for `openai_compatible`), a secret.
KINDS: dict[ProviderKind, tuple[str, str, str]] = {
    ProviderKind.OPENAI: ("openai", "gpt-6-luna", "sk-canary-7f3a9c0d5e"),
    ProviderKind.AZURE_OPENAI: ("azure", "gpt-6-luna", "canary0azure0key0000"),
    ProviderKind.GEMINI: ("gemini", "gemini-2.5-flash-lite", "AIzaCanary0gemini0key"),
    ProviderKind.VERTEX: (
        "vertex",
        "gemini-3.5-flash-lite",
        simulated_key_file("canary@acme.iam.gserviceaccount.com"),
    ),
    ProviderKind.ANTHROPIC: ("anthropic", "claude-haiku-5-5", "sk-ant-canary-41c2"),
    ProviderKind.BEDROCK: (
        "bedrock",
        "global.anthropic.claude-haiku-5-5",
        simulated_credential("AKIACANARY0000000001"),
    ),
    ProviderKind.OPENAI_COMPATIBLE: ("compatible", "qwen3-8b", "canary-server-key"),
}


def connected(kind: ProviderKind, **settings: Any) -> EffectiveConnection:
    """A connection of project `acme`, as it is seen before it is saved."""
    document = {"name": "primary", "provider": kind, "model": KINDS[kind][1], "credential": "primary", **settings}
    return EffectiveConnection(
        connection=Connection.model_validate(document),
        project="acme",
        account=None,
        credential_scope="/byom/projects/acme/credentials",
        origins={},
    )


def secret_of(kind: ProviderKind, text: str | None = None) -> Credential:
    """The kind's usual secret, or another."""
    return Credential(secret=SecretStr(KINDS[kind][2] if text is None else text), version=3)
