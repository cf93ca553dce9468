"""The interface of a parameter store, modelled on AWS SSM Parameter Store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from config.errors import StoreConflict, StoreError

#: Bytes of UTF-8 that SSM's larger parameters hold. All stores keep to it, so that what one takes the others take.
MAX_VALUE_BYTES = 8_192

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH = re.compile(rf"(/{_SEGMENT.pattern})+")
#: SSM's bounds: segments of a name, a prefix included, and its length.
_MAX_DEPTH = 15
_MAX_PATH = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One value at one path. The value is masked in repr and logs, secret or not."""

    path: str
    value: SecretStr
    #: Grows by one with each write of the path; the first is 1.
    version: int
    #: Whether the store must keep it encrypted (an SSM SecureString).
    secure: bool = field(default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts:
    """What is known of a secret without decrypting it."""

    path: str
    version: int
    #: ARN of the customer's KMS key that it was written under, or None for the store's own key.
    kms_key: str | None


class ParameterStore(Protocol):
    """Versioned values under slash-separated paths. All methods block; callers on an event loop use a thread.

    Every method raises `StoreError` for an unsafe path, and when the store cannot be read or written; no message of it
    quotes a value.
    """

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        """Write a new version and return it.

        Args:
            path: where to.
            value: 1 to 8,192 bytes of UTF-8.
            secure: keep it encrypted. A path is secure or not for its whole life.
            expected_version: the version that the new one is to follow, 0 for none; None writes whatever is there.
                `SsmStore.put` says what SSM cannot promise of it.
            kms_key: ARN of the customer's KMS key to encrypt a secure value with; None means the store's own key. Only
                SSM can encrypt with it; the other stores keep its name beside the value, so that a copy to SSM and a
                re-encryption know it.

        Raises:
            StoreConflict: `expected_version` is not the version there; the value there stays.
        """

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        """All newest versions below `prefix` (which ends without a slash), in the order of their paths.

        What is returned is a snapshot: writing while iterating changes nothing of it.

        Args:
            prefix: what lies below.
            secure: only the secure ones, or only the others; None means all. Who needs no secrets asks for none: one
                that cannot be decrypted fails the whole list.
        """

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:
        """The secure ones below `prefix` in the order of their paths, without decrypting any. A snapshot, as `list`."""


def check_path(path: str) -> str:
    """Refuse what is not a plain absolute path, so that no id can climb out of its project.

    Raises:
        StoreError: the path has empty, dotted or otherwise unsafe segments, or is too long or too deep.
    """
    if not _PATH.fullmatch(path):
        raise StoreError(f"{path!r} is not a parameter path: use /name/name with letters, digits, '.', '_', '-'")
    if len(path) > _MAX_PATH or path.count("/") > _MAX_DEPTH:
        raise StoreError(
            f"{path[:60]!r}… is not a parameter path: at most {_MAX_PATH} characters in {_MAX_DEPTH} segments; use "
            "shorter names"
        )
    return path


def join_path(base: str, *names: str) -> str:
    """A path below `base`, one segment per name, so that no name can reach into another's branch.

    Raises:
        StoreError: a name is not a single plain segment.
    """
    for name in names:
        if not _SEGMENT.fullmatch(name):
            raise StoreError(f"{name!r} is not a name: use letters, digits, '.', '_', '-', the first a letter or digit")
    return "/".join((base, *names))


def check_value(path: str, value: SecretStr) -> int:
    """Refuse what not every store can keep.

    Returns:
        Bytes of the value in UTF-8.

    Raises:
        StoreError: the value is empty, too large, no text, or holds what SSM takes for a reference.
    """
    text = value.get_secret_value()
    if not text:
        raise StoreError(f"the value for {path} is empty; nothing was written")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        # The error quotes the text; it must not become the context of the one below.
        size = -1
    if size < 0:
        raise StoreError(f"the value for {path} is not text: it holds half of a surrogate pair; nothing was written")
    if size > MAX_VALUE_BYTES:
        raise StoreError(
            f"the value for {path} has {size:,} bytes and a parameter holds {MAX_VALUE_BYTES:,}; nothing was written"
        )
    if "{{" in text:
        raise StoreError(
            f"the value for {path} holds '{{{{', which SSM takes for a reference to another parameter; nothing was "
            "written"
        )
    return size


def check_version(path: str, found: int, expected: int | None) -> None:
    """Compare the version at a path (0 for none) with the one that a writer expects.

    Raises:
        StoreConflict: it is another.
    """
    if expected is not None and found != expected:
        raise conflict(path, found=f"version {found}" if found else "not there", expected=expected)


def conflict(path: str, *, found: str, expected: int) -> StoreConflict:
    """Somebody else was faster."""
    wanted = f"version {expected}" if expected else "no value"
    return StoreConflict(f"{path} is {found} where {wanted} was expected: somebody else changed it; read it again")


def check_kind(path: str, *, was_secure: bool, secure: bool) -> None:
    """Refuse to turn a secret into a plain value or back, as SSM does: old versions would keep what they were.

    Raises:
        StoreError: the path was something else before.
    """
    if was_secure is not secure:
        kind = "a secret" if was_secure else "a plain value"
        raise StoreError(f"{path} is stored as {kind} and cannot become something else; delete it first")
