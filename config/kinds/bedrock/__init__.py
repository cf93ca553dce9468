"""AWS Bedrock: Claude in a region of AWS, with a role of the customer's account."""

import re

from config.kinds.base import Kind, Place
from config.kinds.bedrock.credential import aws_problem
from config.labels import LabelRule
from tasks.contract import ProviderKind

DEFAULT_REGION = "us-east-1"

_UNSAFE = re.compile(r"[^a-zA-Z0-9 :_@$#=/+,.-]")
_LENGTH = 256
_HOST = re.compile(r"bedrock(?P<plane>(?:-[a-z]+)*)\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
#: Inference profiles of Bedrock → how the regions begin that they can be called from. `global` is called from all.
_PROFILES = {"us": ("us-", "ca-"), "eu": ("eu-",), "apac": ("ap-",), "jp": ("ap-northeast-",), "au": ("ap-southeast-",)}


def profile_problem(model: str, region: str | None) -> str | None:
    """Why a model of Bedrock cannot be called from a region, with the mend; None when nothing speaks against it.

    Args:
        model: the id of an inference profile, such as `eu.anthropic.claude-…`.
        region: where it is called from; None stands for the default.
    """
    area = model.partition(".")[0]
    begins = _PROFILES.get(area)
    called = region or DEFAULT_REGION
    if begins is None or called.startswith(begins):
        return None
    where = f"region {called}" if region else f"the default region {called}"
    return (
        f"model '{model}' is offered in {area} only and is called from {where}; set region to one that begins with "
        f"{' or '.join(begins)}, or take global{model.removeprefix(area)}"
    )


def _host_problem(host: str, region: str) -> str | None:
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    if match["plane"] not in {"-runtime", "-runtime-fips"}:
        right = f"https://bedrock-runtime.{match['region']}.amazonaws.com"
        return f"base_url is Bedrock's address for administration; leave it out, or paste {right} instead"
    if match["region"] != region:
        return (
            f"base_url is in {match['region']}, and the connection's region is {region}; leave base_url out and set "
            f"region to {match['region']}"
        )
    return None


def _fitting(text: str) -> str:
    return _UNSAFE.sub("_", text)[:_LENGTH]


#: `requestMetadata` of Converse.
LABELS = LabelRule(
    words="keys and values of at most 256 characters, which may be A-Z, a-z, 0-9, space and any of :_@$#=/+,-.",
    pairs=16,
    key=_fitting,
    value=_fitting,
)

KIND = Kind(
    provider=ProviderKind.BEDROCK,
    vendor="Bedrock",
    telemetry_name="aws.bedrock",
    settings=frozenset({"base_url", "region", "external_id", "structured_output"}),
    required={},
    place=Place(setting="region", default=DEFAULT_REGION, host_problem=_host_problem),
    hosts=_HOST,
    public_url=None,
    versioned_url=False,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=lambda text, region: aws_problem(text, region=region),
    own_keys={},
    likely_keys={"arn:aws": "an AWS role", "AKIA": "an AWS access key"},
    useless_keys={},
    key_words="the ARN of a role",
    key_variables=(),
    free_models=False,
    deployments=None,
    model_problem=profile_problem,
    prices="aws",
    flex_as_batch=False,
    free_cache_reads=False,
    sets_cap_aside=True,
    labels=LABELS,
)
