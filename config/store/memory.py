"""A parameter store that lives and dies with its process; for tests."""

import threading
from collections.abc import Iterator

from pydantic import SecretStr

from .base import Parameter, check_path, check_version


class MemoryStore:
    """Keeps parameters in a dict; safe to use from several threads."""

    def __init__(self) -> None:
        self._parameters: dict[str, Parameter] = {}
        self._lock = threading.Lock()

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""
        return self._parameters.get(check_path(path))

    def put(self, path: str, value: SecretStr, *, secure: bool, expected_version: int | None = None) -> Parameter:
        """Write a new version and return it."""
        check_path(path)
        with self._lock:
            old = self._parameters.get(path)
            found = old.version if old else 0
            check_version(path, found, expected_version)
            parameter = Parameter(path=path, value=value, version=found + 1, secure=secure)
            self._parameters[path] = parameter
        return parameter

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""
        check_path(path)
        with self._lock:
            return self._parameters.pop(path, None) is not None

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths."""
        below = check_path(prefix) + "/"
        with self._lock:
            found = [parameter for path, parameter in self._parameters.items() if path.startswith(below)]
        return iter(sorted(found, key=lambda parameter: parameter.path))
