"""What the clients of AWS have in common: quiet, patient, and on this process's own credentials."""

import logging
import os
from typing import Any

from botocore.config import Config

#: Five tries with growing pauses: some ten seconds at most. Throttling is one of the reasons to try again.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=10,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 5},
)


def build_client(service: str, region: str | None) -> Any:
    """A client of an AWS service, which may be shared by threads.

    Credentials and endpoints (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SSM`) are found as boto3 finds them. So is the
    region when none is given, after `AWS_REGION`, which AWS's other tools and its containers use and boto3 does not.

    Raises:
        BotoCoreError: no region is known, or boto3's own configuration does not fit.
    """
    import boto3  # noqa: PLC0415 - a third of a second that only those who use AWS spend

    quiet()
    # A session of its own: the default one is not made for threads. Any: the types know services by literal names.
    session: Any = boto3.Session()
    return session.client(service, region_name=region or os.environ.get("AWS_REGION"), config=_CONFIG)


def quiet() -> None:
    """Silence what botocore logs at DEBUG: whole requests and answers, with the secrets in them."""
    for name in ("botocore", "boto3", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
