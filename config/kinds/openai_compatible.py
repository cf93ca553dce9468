"""A server of the customer's own that speaks Chat Completions. Such servers share no field for labels."""

from config.kinds.base import Kind
from tasks.contract import ProviderKind

KIND = Kind(
    provider=ProviderKind.OPENAI_COMPATIBLE,
    vendor="The server",
    # The conventions have no name for it.
    telemetry_name="openai_compatible",
    settings=frozenset({"base_url"}),
    required={"base_url": "base_url is required for openai_compatible, such as http://127.0.0.1:8000/v1"},
    place=None,
    hosts=None,
    public_url=None,
    versioned_url=True,
    # A vendor's own answer to OpenAI's format is called as a compatible server.
    any_host=True,
    endpoint=None,
    needs_credential=False,
    credential_problem=None,
    own_keys={},
    likely_keys={},
    useless_keys={},
    key_words="the key",
    key_variables=(),
    free_models=True,
    deployments=None,
    model_problem=None,
    # Somebody's own machine or gateway.
    prices=None,
    flex_as_batch=False,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=None,
)
