"""`config/kinds/toy.py`: what is true of a vendor that nobody has heard of."""

import re

from config.kinds.base import Kind
from config.labels import LabelRule
from tasks.contract import ProviderKind

KIND = Kind(
    provider=ProviderKind("toy"),
    vendor="Toyland",
    telemetry_name="toyland",
    settings=frozenset({"base_url"}),
    required={},
    place=None,
    hosts=re.compile(r"api\.toyland\.example"),
    public_url="https://api.toyland.example",
    versioned_url=False,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=None,
    own_keys={"toy-": "a key of Toyland"},
    likely_keys={"toy-": "a key of Toyland"},
    useless_keys={re.compile(r"toy-box-"): "opens the box and calls no model; create a key that begins with toy-key-"},
    key_words="the key",
    key_variables=("TOYLAND_API_KEY",),
    free_models=False,
    deployments=None,
    model_problem=None,
    prices=None,
    flex_as_batch=False,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=LabelRule(words="words of at most 20 characters", pairs=8, key=lambda t: t[:20], value=lambda t: t[:20]),
)
