"""The interface of a parameter store, modelled on AWS SSM Parameter Store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from config.errors import StoreConflict, StoreError

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH = re.compile(rf"(/{_SEGMENT.pattern})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One value at one path. The value is masked in repr and logs, secret or not."""

    path: str
    value: SecretStr
    #: Grows by one with each write of the path; the first is 1.
    version: int
    #: Whether the store must keep it encrypted (an SSM SecureString).
    secure: bool = field(default=False)


class ParameterStore(Protocol):
    """Versioned values under slash-separated paths. All methods block; callers on an event loop use a thread."""

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""

    def put(self, path: str, value: SecretStr, *, secure: bool, expected_version: int | None = None) -> Parameter:
        """Write a new version and return it.

        Args:
            path: where.
            value: what.
            secure: whether it must be kept encrypted.
            expected_version: the version that the new one replaces, 0 for none; absent means whichever is there.

        Raises:
            StoreConflict: another version than the expected one is there; nothing was written.
        """

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix` (which ends without a slash), in the order of their paths.

        What is returned is a snapshot: writing while iterating changes nothing of it.
        """


def check_path(path: str) -> str:
    """Refuse what is not a plain absolute path, so that no id can climb out of its project.

    Raises:
        StoreError: the path has empty, dotted or otherwise unsafe segments.
    """
    if not _PATH.fullmatch(path):
        raise StoreError(f"{path!r} is not a parameter path: use /name/name with letters, digits, '.', '_', '-'")
    return path


def check_version(path: str, found: int, expected: int | None) -> None:
    """Refuse to write over what the writer has not seen.

    Raises:
        StoreConflict: another version than the expected one is there.
    """
    if expected is not None and found != expected:
        raise StoreConflict(f"{path} was changed by somebody else in between; try again")


def join_path(base: str, *names: str) -> str:
    """A path below `base`, one segment per name, so that no name can reach into another's branch.

    Raises:
        StoreError: a name is not a single plain segment.
    """
    for name in names:
        if not _SEGMENT.fullmatch(name):
            raise StoreError(f"{name!r} is not a name: use letters, digits, '.', '_', '-', the first a letter or digit")
    return "/".join((base, *names))


def open_store(url: str) -> ParameterStore:
    """The store behind a URL: `file:///absolute/path.json`, `file:relative.json`, `file:~/path.json` or `memory:`.

    Raises:
        StoreError: no store speaks this scheme, or the path is missing.
    """
    from .file import FileStore  # noqa: PLC0415 - the implementations import this module
    from .memory import MemoryStore  # noqa: PLC0415 - as above

    # Not parsed as a URL: a path may hold '#', '?' and '%'.
    scheme, _, path = url.partition(":")
    if scheme == "memory":
        return MemoryStore()
    if scheme != "file":
        raise StoreError(f"BYOM_STORE_URL has the unknown scheme {scheme!r}; use file:PATH or memory:")
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise StoreError("BYOM_STORE_URL names a host; write file:relative.json or file:///absolute/path.json")
    if not path:
        raise StoreError("BYOM_STORE_URL has no path; write file:relative.json or file:///absolute/path.json")
    return FileStore(path)
