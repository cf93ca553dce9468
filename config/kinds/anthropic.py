"""Anthropic, with an API key. It has no field for labels: these go into usage records only."""

import re

from config.kinds.base import Kind
from tasks.contract import ProviderKind

KIND = Kind(
    provider=ProviderKind.ANTHROPIC,
    vendor="Anthropic",
    telemetry_name="anthropic",
    settings=frozenset({"base_url"}),
    required={},
    place=None,
    hosts=re.compile(r"api\.anthropic\.com"),
    public_url="https://api.anthropic.com",
    versioned_url=False,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=None,
    own_keys={"sk-ant-": "an Anthropic key"},
    likely_keys={"sk-ant-": "an Anthropic key"},
    useless_keys={},
    key_words="the key",
    key_variables=("ANTHROPIC_API_KEY",),
    free_models=False,
    deployments=None,
    model_problem=None,
    prices="anthropic",
    flex_as_batch=False,
    free_cache_reads=True,
    sets_cap_aside=False,
    labels=None,
)
