"""Vertex AI: Gemini in a GCP project of the customer's own, with a service account."""

import re

from config.kinds.base import Kind, Place
from config.kinds.gemini import LABELS
from config.kinds.vertex.credential import service_account_problem
from tasks.contract import ProviderKind

DEFAULT_LOCATION = "us-central1"

_REGIONAL = re.compile(r"(?P<location>[a-z0-9-]+)-aiplatform\.googleapis\.com")


def _host_problem(host: str, location: str) -> str | None:
    match = _REGIONAL.fullmatch(host)
    if match and match["location"] != location:
        return (
            f"base_url is in {match['location']}, and the connection's location is {location}; leave base_url out and "
            f"set location to {match['location']}"
        )
    return None


KIND = Kind(
    provider=ProviderKind.VERTEX,
    vendor="Vertex AI",
    telemetry_name="gcp.vertex_ai",
    settings=frozenset({"base_url", "gcp_project", "location"}),
    required={},
    place=Place(setting="location", default=DEFAULT_LOCATION, host_problem=_host_problem),
    hosts=re.compile(r"(?:[a-z0-9-]+-)?aiplatform(?:\.[a-z]+\.rep)?\.googleapis\.com"),
    public_url=None,
    versioned_url=False,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=lambda text, _: service_account_problem(text),
    own_keys={},
    likely_keys={},
    useless_keys={},
    key_words="the service account's JSON",
    key_variables=(),
    free_models=False,
    deployments=None,
    model_problem=None,
    prices="google",
    flex_as_batch=True,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=LABELS,
)
