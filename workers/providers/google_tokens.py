"""Access tokens for Vertex AI: made from a service account's key, kept until shortly before they end.

By hand rather than by google-auth's own transport, which blocks.
"""

import asyncio
import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlencode

from workers.clock import Clock
from workers.providers.base import Call, Fault, FaultKind, WireRequest, WireResponse
from workers.providers.delays import vendor_delay
from workers.providers.faults import safe_word
from workers.providers.google_account import (
    TOKEN_URL,
    BadServiceAccount,
    ServiceAccount,
    read_service_account,
    sign_assertion,
)
from workers.providers.wire import decode

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: Seconds that a token request may take.
_TIMEOUT = 15.0
#: A token is renewed in the background when no more than this is left of it: google-auth's own margin. Up to the second
#: one is taken off at random, so that workers that began together do not ask together.
_RENEW_EARLY = timedelta(seconds=225)
_RENEW_JITTER = timedelta(seconds=60)
#: With less left than this it is no longer used: a call must still arrive with it.
_UNUSABLE_EARLY = timedelta(seconds=30)
#: How long to leave the endpoint alone after it failed to renew a token that is still good.
_RENEW_AGAIN = timedelta(seconds=15)
#: A token younger than this outlives the refusal of a call: that call was made with the token before it.
_YOUNG = timedelta(seconds=30)
_MOST_SECONDS = 43_200

_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
#: OAuth's error codes for an account or a key that Google does not take.
_REJECTED = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "invalid_scope",
        "unauthorized_client",
        "access_denied",
        "account_disabled",
        "deleted_client",
        "disabled_client",
    }
)
_REJECTED_WHY = (
    "the service account or its key was deleted or disabled, or this worker's clock is wrong by more than a few minutes"
)


class Fetch(Protocol):
    """Makes one HTTP request; what goes wrong on the way is a fault."""

    async def __call__(self, request: WireRequest, *, name: str, timeout: float) -> WireResponse | Fault:  # noqa: ASYNC109 - the bound of an I/O call
        """The response. `name` says in messages who was asked; `timeout` in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a service account's key is good for now."""

    token: str = field(repr=False)
    #: The GCP project that the key file names.
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    grant: Grant
    obtained_at: datetime
    renew_at: datetime
    unusable_at: datetime


#: The whole key file, hashed: who writes another account's name into a file of their own must not get its token.
_Key = tuple[bytes, int]


class GoogleTokens:
    """Tokens for calls. One per process; used on one event loop."""

    def __init__(
        self, *, fetch: Fetch, clock: Clock, jitter: Callable[[], float] = random.random, url: str = TOKEN_URL
    ) -> None:
        """`url` is for tests and the simulator; it never comes from a key file."""
        self._fetch = fetch
        self._clock = clock
        self._jitter = jitter
        self._url = url
        self._held: dict[_Key, _Held] = {}
        self._renewals: dict[_Key, asyncio.Task[Grant | Fault]] = {}

    async def grant(self, call: Call) -> Grant | Fault:
        """The token of a call's credential, or why there is none."""
        key, now = _key(call), self._clock.now()
        held = self._held.get(key)
        if held is not None and now < held.renew_at:
            return held.grant
        renewal = self._renewals.get(key)
        if renewal is None:
            renewal = self._renewals[key] = asyncio.create_task(self._renew(key, call))
            renewal.add_done_callback(lambda _: self._renewals.pop(key, None))
        if held is not None and now < held.unusable_at:
            return held.grant
        # A job that is cancelled must not take the token from the others that wait for it.
        return await asyncio.shield(renewal)

    def forget(self, call: Call) -> bool:
        """Drop the token of a call that was refused; True as another try would carry a new one."""
        held = self._held.get(_key(call))
        if held is not None and self._clock.now() - held.obtained_at > _YOUNG:
            del self._held[_key(call)]
        return True

    async def _renew(self, key: _Key, call: Call) -> Grant | Fault:
        answer = await self._ask(call)
        now = self._clock.now()
        if isinstance(answer, Fault):
            if (held := self._held.get(key)) is not None:
                self._held[key] = replace(held, renew_at=min(now + _RENEW_AGAIN, held.unusable_at))
            return answer
        grant, lifetime = answer
        ends_at = now + timedelta(seconds=lifetime)
        self._held = {kept: held for kept, held in self._held.items() if now < held.unusable_at}
        self._held[key] = _Held(
            grant=grant,
            obtained_at=now,
            # A token that lives shorter than planned must not be asked for without end.
            renew_at=max(ends_at - _RENEW_EARLY + _RENEW_JITTER * self._jitter(), now + (ends_at - now) / 2),
            unusable_at=ends_at - _UNUSABLE_EARLY,
        )
        return grant

    async def _ask(self, call: Call) -> tuple[Grant, float] | Fault:
        """A token and the seconds that it holds."""
        try:
            account = read_service_account(_secret(call))
            assertion = await asyncio.to_thread(sign_assertion, account, audience=TOKEN_URL, now=self._clock.now())
        except BadServiceAccount as error:
            message = f"The credential of vertex was not used: {error}."
            return Fault(kind=FaultKind.CREDENTIAL_REJECTED, message=message)
        response = await self._fetch(
            WireRequest(
                method="POST",
                url=self._url,
                headers={"content-type": "application/x-www-form-urlencoded"},
                content=urlencode({"grant_type": _GRANT, "assertion": assertion}).encode(),
            ),
            name="Google's token endpoint",
            timeout=_TIMEOUT,
        )
        return response if isinstance(response, Fault) else _read(call, account, response)


def _read(call: Call, account: ServiceAccount, response: WireResponse) -> tuple[Grant, float] | Fault:
    body = decode(response.content) or {}
    token, lifetime = body.get("access_token"), body.get("expires_in")
    if (
        response.status == 200  # noqa: PLR2004 - the one status with a token
        and isinstance(token, str)
        and _TOKEN.fullmatch(token)
        and isinstance(lifetime, int | float)
        and 0 < lifetime <= _MOST_SECONDS
    ):
        return Grant(token=token, project=account.project_id), lifetime
    code = safe_word(body.get("error"), call)
    said = f"Google's token endpoint answered {response.status}{f' ({code})' if code else ''}"
    if code in _REJECTED:
        kind, meaning = FaultKind.CREDENTIAL_REJECTED, _REJECTED_WHY
    else:
        kind, meaning = FaultKind.UNAVAILABLE, "it gave no access token"
    return Fault(
        kind=kind,
        message=f"{said}: {meaning}.",
        status=response.status,
        code=code,
        retry_after=vendor_delay(response.headers),
    )


def _key(call: Call) -> _Key:
    version = call.credential.version if call.credential else 0
    return hashlib.sha256(_secret(call).encode(errors="replace")).digest(), version


def _secret(call: Call) -> str:
    return call.credential.secret.get_secret_value() if call.credential else ""
