"""Azure OpenAI: a resource of the customer's own, with its key."""

import re

from config.kinds.azure_openai.endpoint import DEPLOYMENT_RULE, check_azure_endpoint
from config.kinds.base import Kind
from config.kinds.openai import LABELS
from tasks.contract import ProviderKind

KIND = Kind(
    provider=ProviderKind.AZURE_OPENAI,
    vendor="Azure OpenAI",
    telemetry_name="azure.ai.openai",
    settings=frozenset({"base_url", "api_version"}),
    required={
        "base_url": "base_url is required for azure_openai: the resource's endpoint, such as "
        "https://NAME.openai.azure.com/"
    },
    place=None,
    hosts=re.compile(r"[a-z0-9-]+\.(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)"),
    public_url=None,
    versioned_url=False,
    any_host=False,
    endpoint=check_azure_endpoint,
    needs_credential=True,
    credential_problem=None,
    own_keys={},
    likely_keys={},
    useless_keys={
        re.compile(r"eyJ[^.]*\.[^.]*\.[^.]*$"): "is a sign-in token, which expires within the hour; give the "
        "resource's KEY 1 (Keys and Endpoint)"
    },
    key_words="the resource's KEY 1 (in the Azure portal: Keys and Endpoint)",
    key_variables=(),
    free_models=False,
    deployments=DEPLOYMENT_RULE,
    model_problem=None,
    prices="azure",
    flex_as_batch=False,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=LABELS,
)
