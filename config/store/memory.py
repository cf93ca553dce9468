"""A parameter store that lives and dies with its process; for tests."""

from collections.abc import Iterator

from pydantic import SecretStr

from .base import Parameter, check_path


class MemoryStore:
    """Keeps parameters in a dict."""

    def __init__(self) -> None:
        self._parameters: dict[str, Parameter] = {}

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""
        return self._parameters.get(check_path(path))

    def put(self, path: str, value: SecretStr, *, secure: bool) -> Parameter:
        """Write a new version and return it."""
        old = self._parameters.get(check_path(path))
        version = old.version + 1 if old else 1
        self._parameters[path] = Parameter(path=path, value=value, version=version, secure=secure)
        return self._parameters[path]

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""
        return self._parameters.pop(check_path(path), None) is not None

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths."""
        below = check_path(prefix) + "/"
        yield from (self._parameters[path] for path in sorted(self._parameters) if path.startswith(below))
