"""OpenAI, with an API key."""

import re

from config.kinds.base import Kind
from config.labels import LabelRule
from tasks.contract import ProviderKind

#: `metadata` of the Responses API.
LABELS = LabelRule(
    words="keys of at most 64 and values of at most 512 characters",
    pairs=16,
    key=lambda text: text[:64],
    value=lambda text: text[:512],
)

KIND = Kind(
    provider=ProviderKind.OPENAI,
    vendor="OpenAI",
    telemetry_name="openai",
    settings=frozenset({"base_url", "organization"}),
    required={},
    place=None,
    hosts=re.compile(r"(?:[a-z0-9-]+\.)?api\.openai\.com"),
    public_url="https://api.openai.com/v1",
    versioned_url=True,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=None,
    own_keys={"sk-proj-": "an OpenAI key", "sk-svcacct-": "an OpenAI key"},
    likely_keys={"sk-": "an OpenAI key"},
    useless_keys={
        re.compile(r"sk-admin-"): "is an admin key of OpenAI, which cannot call models; create a project key "
        "(sk-proj-…) instead"
    },
    key_words="the key",
    key_variables=("OPENAI_API_KEY",),
    free_models=False,
    deployments=None,
    model_problem=None,
    prices="openai",
    flex_as_batch=False,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=LABELS,
)
