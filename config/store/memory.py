"""A parameter store that lives and dies with its process; for tests."""

import threading
from collections.abc import Iterator

from pydantic import SecretStr

from .base import Parameter, SecretFacts, check_kind, check_path, check_value, check_version


class MemoryStore:
    """Keeps parameters in a dict; safe to use from several threads."""

    def __init__(self) -> None:
        self._parameters: dict[str, Parameter] = {}
        #: Names only: nothing is encrypted here.
        self._kms_keys: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""
        return self._parameters.get(check_path(path))

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

        Raises:
            StoreConflict: `expected_version` is not the version there.
        """
        check_path(path)
        check_value(path, value)
        with self._lock:
            old = self._parameters.get(path)
            version = old.version if old else 0
            check_version(path, version, expected_version)
            if old is not None:
                check_kind(path, was_secure=old.secure, secure=secure)
            parameter = Parameter(path=path, value=value, version=version + 1, secure=secure)
            self._parameters[path] = parameter
            self._kms_keys[path] = kms_key
        return parameter

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""
        check_path(path)
        with self._lock:
            return self._parameters.pop(path, None) is not None

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths."""
        below = check_path(prefix) + "/"
        with self._lock:
            found = [parameter for path, parameter in self._parameters.items() if path.startswith(below)]
        kept = [parameter for parameter in found if secure in {None, parameter.secure}]
        return iter(sorted(kept, key=lambda parameter: parameter.path))

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:
        """The secure ones below `prefix`, in the order of their paths."""
        found = self.list(prefix, secure=True)
        return iter(
            [SecretFacts(path=one.path, version=one.version, kms_key=self._kms_keys.get(one.path)) for one in found]
        )
