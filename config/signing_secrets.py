"""Secrets that sign as Standard Webhooks have it, in versions: while one is being replaced, both count.

What the versions belong to (a webhook, a producer) names them in its document; each secret is a parameter of its own.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from config.store import ParameterStore

_T = TypeVar("_T")

_PREFIX: Final = "whsec_"
_BYTES: Final = 32


class SecretVersion(BaseModel):
    """One version of a secret; the secret itself is kept apart."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    created_at: AwareDatetime
    #: Until when it counts beside the newer one; the newest has no end.
    until: AwareDatetime | None = None


#: Number of the secret → what is known of it.
SecretVersions = dict[Annotated[int, Field(ge=1)], SecretVersion]


def counting(versions: Mapping[int, SecretVersion], *, now: datetime) -> list[int]:
    """The versions that count, the newest first."""
    return [
        number
        for number, version in sorted(versions.items(), reverse=True)
        if version.until is None or version.until > now
    ]


def read_secrets(
    store: ParameterStore, versions: Mapping[int, SecretVersion], *, path: Callable[[int], str], now: datetime
) -> list[SecretStr]:
    """The secrets that count, the newest first; empty when there is none.

    Args:
        store: holds them.
        versions: what there is.
        path: where a version is.
        now: the time.

    Raises:
        StoreError: the store cannot be read.
    """
    found = [store.get(path(number)) for number in counting(versions, now=now)]
    return [parameter.value for parameter in found if parameter is not None]


def replace_secret(
    store: ParameterStore,
    versions: Mapping[int, SecretVersion],
    *,
    path: Callable[[int], str],
    write: Callable[[SecretVersions], _T],
    now: datetime,
    overlap: timedelta | None,
    kms_key: str | None = None,
) -> _T:
    """Make a new version; the one before it counts too for the time of the overlap, older ones no more.

    Args:
        store: holds them.
        versions: what there is so far.
        path: where a version is.
        write: writes what there is from now on; its answer is returned.
        now: the time.
        overlap: None, or nothing, if the new one counts alone.
        kms_key: encrypts it; without it the store's own does.

    Raises:
        StoreError: the store cannot be written.
    """
    newest = max(versions, default=0)
    kept = {newest + 1: SecretVersion(created_at=now)}
    if overlap and newest:
        kept[newest] = versions[newest].model_copy(update={"until": now + overlap})
    secret = SecretStr(_PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode())
    # The secret before what names it, and what no longer names one before that one goes: readers always find both.
    store.put(path(newest + 1), secret, secure=True, kms_key=kms_key)
    written = write(kept)
    for number in versions.keys() - kept.keys():
        store.delete(path(number))
    return written
