"""boto3's client of STS, on this process's own AWS credentials, and signing by the time that it is given."""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError

from workers.clock import Clock
from workers.providers.aws_signing import sign_as


class StsClient(Protocol):
    """The part of boto3's STS client that is used; it blocks."""

    @property
    def assume_role(self) -> Callable[..., Mapping[str, Any]]:
        """`sts:AssumeRole`; takes and gives the vendor's own names."""


#: Gives the STS client of a region; called outside of the event loop.
StsFactory = Callable[[str], StsClient]


class BotoSts:
    """STS clients on this process's own AWS credentials, found as boto3 finds them. May be called from any thread.

    They do not sign as boto3 does, which takes the time from the operating system: AWS refuses what is dated more than
    five minutes off, and a machine whose clock is wrong would get no role.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[str, StsClient] = {}
        self._lock = threading.Lock()

    def __call__(self, region: str) -> StsClient:
        """The client of a region."""
        with self._lock:
            if region not in self._clients:
                self._clients[region] = self._build(region)
            return self._clients[region]

    def _build(self, region: str) -> StsClient:
        import boto3  # noqa: PLC0415 - a third of a second that only workers with a Bedrock role need to spend

        # At DEBUG botocore logs whole responses, and the secret keys in them.
        logging.getLogger("botocore").setLevel(logging.INFO)
        session = boto3.Session()
        config = Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 2},
            signature_version=UNSIGNED,
        )
        client = session.client("sts", region_name=region, config=config)
        client.meta.events.register("before-sign.sts", partial(self._sign, session.get_credentials))
        return client

    def _sign(
        self,
        credentials: Callable[[], Credentials | None],
        request: AWSRequest,
        signing_name: str,
        region_name: str,
        **_: Any,
    ) -> None:
        """Sign one request of a client, a repeated one again.

        Raises:
            NoCredentialsError: this process has none.
            BotoCoreError: they could not be had.
        """
        found = credentials()
        if found is None:
            raise NoCredentialsError
        frozen = found.get_frozen_credentials()
        headers = sign_as(
            Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token),
            url=str(request.url),
            # Always bytes, whatever its type says.
            content=cast("bytes", request.body),
            content_type=request.headers["Content-Type"],
            service=signing_name,
            region=region_name,
            at=self._clock.now(),
        )
        for name, value in headers.items():
            del request.headers[name]
            request.headers[name] = value
