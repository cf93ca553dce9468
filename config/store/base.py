"""The interface of a parameter store, modelled on AWS SSM Parameter Store."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.errors import StoreError

_PATH = re.compile(r"^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$")


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

    def put(self, path: str, value: SecretStr, *, secure: bool) -> Parameter:
        """Write a new version and return it."""

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix` (which ends without a slash), in the order of their paths."""


def check_path(path: str) -> str:
    """Refuse what is not a plain absolute path, so that no id can climb out of its project.

    Raises:
        StoreError: the path has empty, dotted or otherwise unsafe segments.
    """
    if not _PATH.match(path):
        raise StoreError(f"'{path}' is not a parameter path: use /name/name with letters, digits, '.', '_', '-'")
    return path


def open_store(url: str) -> ParameterStore:
    """The store behind a URL: `file:///absolute/path.json`, `file:relative.json` or `memory:`.

    Raises:
        StoreError: no store speaks this scheme.
    """
    from .file import FileStore  # noqa: PLC0415 - the implementations import this module
    from .memory import MemoryStore  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    openers: dict[str, Callable[[], ParameterStore]] = {
        "file": lambda: FileStore(parts.path),
        "memory": MemoryStore,
    }
    if parts.scheme not in openers:
        known = ", ".join(f"{scheme}:" for scheme in openers)
        raise StoreError(f"BYOM_STORE_URL={url!r} has no store; known schemes are {known}")
    return openers[parts.scheme]()
