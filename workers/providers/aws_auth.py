"""AWS keys for a call: the stored ones, or a session of the customer's role, kept until shortly before it ends.

A credential of Bedrock is the ARN of a role, which this worker assumes with its own AWS credentials; or, for
development, JSON with `access_key_id`, `secret_access_key` and, for temporary keys, `session_token`.
"""

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError
from pydantic import ValidationError

from config.kinds.bedrock import DEFAULT_REGION
from workers.clock import Clock
from workers.providers.aws_signing import AwsKeys
from workers.providers.aws_sts import BotoSts, StsFactory
from workers.providers.base import Call, Fault, FaultKind

#: Roles that are asked for at once; each blocks a thread until STS answers, or for some twenty seconds if it does not.
_AT_ONCE = 16
#: The most that AWS grants when one role assumes another, which is how most workers run.
_SESSION_SECONDS = 3_600
#: A session is renewed in the background from the first on, and no longer used from the second on: both this long
#: before its end. In between calls go on with the old one.
_RENEW_EARLY = timedelta(minutes=10)
_UNUSABLE_EARLY = timedelta(minutes=5)
#: How long to leave STS alone after it failed to renew a session that is still good.
_RENEW_AGAIN = timedelta(seconds=30)
#: A session younger than this outlives the refusal of a call: that call was signed with the session before it.
_YOUNG = timedelta(seconds=30)

_ROLE_ARN = re.compile(r"arn:aws(?:-[a-z]+)*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}")
_NAME_UNSAFE = re.compile(r"[^A-Za-z0-9_+=,.@-]")
_NAME_LENGTH = 64

#: STS error code → the fault behind it, and what to say. All others are `_STS_FAILED`.
_STS_FAULTS: dict[str, tuple[FaultKind, str]] = {
    "AccessDenied": (
        FaultKind.CREDENTIAL_REJECTED,
        "AWS does not let this worker assume the role; its trust policy must name the worker and the external_id.",
    ),
    "ValidationError": (FaultKind.CREDENTIAL_REJECTED, "AWS does not take the role's ARN or the external_id."),
    "SignatureDoesNotMatch": (
        FaultKind.UNAVAILABLE,
        (
            "The role was not assumed: AWS refused the signature of this worker's own credentials; an operator must "
            "see whether their secret key is right, and the broker's clock, by which workers sign."
        ),
    ),
    "RegionDisabledException": (
        FaultKind.ENDPOINT_INVALID,
        "The customer's AWS account has switched STS off in the connection's region.",
    ),
}
_OWN_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
_OWN_REFUSED = "The role was not assumed: AWS refused this worker's own credentials; an operator must renew them."
_OWN_MISSING = (
    "The role was not assumed: this worker has no AWS credentials of its own; an operator must give it some, such as "
    "an instance role or AWS_ACCESS_KEY_ID."
)
_STS_FAILED = "The role was not assumed: STS failed."
_STS_UNREADABLE = "The role was not assumed: the answer of STS is incomplete, or is not of STS."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    """What tells sessions apart: a project never signs with a session made for another."""

    arn: str
    external_id: str | None
    region: str
    #: Shows in the customer's CloudTrail.
    session_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    keys: AwsKeys
    obtained_at: datetime
    renew_at: datetime
    unusable_at: datetime


class AwsAuth:
    """Keys for calls. One per process; used on one event loop."""

    def __init__(self, *, clock: Clock, sts: StsFactory | None = None) -> None:
        self._clock = clock
        self._sts = sts or BotoSts(clock=clock)
        # Not the loop's own: while STS hangs, roles wait for each other, and nobody's reads of the store for them.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="byom-sts")
        self._sessions: dict[_Role, _Session] = {}
        self._renewals: dict[_Role, asyncio.Task[AwsKeys | Fault]] = {}

    async def keys(self, call: Call) -> AwsKeys | Fault:
        """What to sign a call with, or why there is nothing."""
        stored = _stored(call)
        return await self._session(stored) if isinstance(stored, _Role) else stored

    def forget(self, call: Call) -> bool:
        """Drop the session of a call whose keys were refused; True when another try would be signed with a new one."""
        role = _stored(call)
        if not isinstance(role, _Role):
            return False
        held = self._sessions.get(role)
        if held is not None and self._clock.now() - held.obtained_at > _YOUNG:
            del self._sessions[role]
        return True

    async def _session(self, role: _Role) -> AwsKeys | Fault:
        held, now = self._sessions.get(role), self._clock.now()
        if held is not None and now < held.renew_at:
            return held.keys
        renewal = self._renewals.get(role)
        if renewal is None:
            renewal = self._renewals[role] = asyncio.create_task(self._renew(role))
            renewal.add_done_callback(lambda _: self._renewals.pop(role, None))
        if held is not None and now < held.unusable_at:
            return held.keys
        # A job that is cancelled must not take the session from the others that wait for it.
        return await asyncio.shield(renewal)

    async def _renew(self, role: _Role) -> AwsKeys | Fault:
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._assume, role)
        now = self._clock.now()
        if isinstance(answer, Fault):
            if (held := self._sessions.get(role)) is not None:
                self._sessions[role] = replace(held, renew_at=min(now + _RENEW_AGAIN, held.unusable_at))
            return answer
        keys, ends_at = answer
        self._sessions = {kept: session for kept, session in self._sessions.items() if now < session.unusable_at}
        self._sessions[role] = _Session(
            keys=keys, obtained_at=now, renew_at=ends_at - _RENEW_EARLY, unusable_at=ends_at - _UNUSABLE_EARLY
        )
        return keys

    def _assume(self, role: _Role) -> tuple[AwsKeys, datetime] | Fault:
        """Assume a role; blocks. Answers with the keys and their end."""
        arguments: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "DurationSeconds": _SESSION_SECONDS,
        }
        if role.external_id is not None:
            arguments["ExternalId"] = role.external_id
        try:
            return _granted(self._sts(role.region).assume_role(**arguments))
        except Exception as error:  # noqa: BLE001 - boto3's reader raises what an odd answer makes it raise, KeyError too
            return _sts_fault(error)


def _granted(answer: Mapping[str, Any]) -> tuple[AwsKeys, datetime] | Fault:
    """Keys and their end in an answer of STS."""
    found = answer.get("Credentials") or {}
    try:
        keys = AwsKeys(
            access_key_id=found.get("AccessKeyId"),
            secret_access_key=found.get("SecretAccessKey"),
            session_token=found.get("SessionToken"),
        )
    except ValidationError:
        keys = None
    ends_at = found.get("Expiration")
    if keys is None or keys.session_token is None or not isinstance(ends_at, datetime):
        return Fault(kind=FaultKind.UNAVAILABLE, message=_STS_UNREADABLE)
    return keys, ends_at


def _stored(call: Call) -> _Role | AwsKeys | Fault:
    """What the stored credential is."""
    connection = call.connection
    text = call.credential.secret.get_secret_value().strip() if call.credential else ""
    if _ROLE_ARN.fullmatch(text):
        project = _NAME_UNSAFE.sub("-", call.tags.get("project", ""))
        return _Role(
            arn=text,
            external_id=connection.external_id,
            region=connection.region or DEFAULT_REGION,
            session_name=f"byom-{project}"[:_NAME_LENGTH],
        )
    try:
        return AwsKeys.model_validate_json(text)
    except ValidationError:
        return Fault(
            kind=FaultKind.CREDENTIAL_REJECTED,
            message="The credential of bedrock was not used: it is neither the ARN of a role, such as "
            "arn:aws:iam::123456789012:role/NAME, nor JSON with access_key_id and secret_access_key.",
        )


def _sts_fault(error: Exception) -> Fault:
    """The fault behind an exception of boto3.

    Its own text stays out: it names principals and policies, and of an answer that broke off it quotes the keys.
    """
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind, message = _STS_FAULTS.get(
            code, (FaultKind.UNAVAILABLE, _OWN_REFUSED if code in _OWN_CREDENTIALS else _STS_FAILED)
        )
        return Fault(kind=kind, message=message, code=code[:_NAME_LENGTH] or None)
    if isinstance(error, NoCredentialsError):
        return Fault(kind=FaultKind.UNAVAILABLE, message=_OWN_MISSING)
    if isinstance(error, BotoConnectionError | HTTPClientError):
        return Fault(kind=FaultKind.CONNECT, message="The role was not assumed: STS could not be reached.")
    message = _STS_FAILED if isinstance(error, BotoCoreError) else _STS_UNREADABLE
    return Fault(kind=FaultKind.UNAVAILABLE, message=message)
