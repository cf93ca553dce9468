"""A parameter store in one local JSON file: for a laptop and for tests, not for production.

Values stand in it as plain text, so the file must be readable by its owner only; `doctor` and every read check it.
"""

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.errors import StoreError

from .base import Parameter, check_path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileStore:
    """Parameters in one JSON file, written atomically under a lock."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).expanduser()

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None."""
        check_path(path)
        entry = self._read().get(path)
        return None if entry is None else _parameter(path, entry)

    def put(self, path: str, value: SecretStr, *, secure: bool) -> Parameter:
        """Write a new version and return it."""
        check_path(path)
        with self._locked() as entries:
            version = entries.get(path, {}).get("version", 0) + 1
            entries[path] = {"value": value.get_secret_value(), "version": version, "secure": secure}
        return Parameter(path=path, value=value, version=version, secure=secure)

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing."""
        check_path(path)
        with self._locked() as entries:
            return entries.pop(path, None) is not None

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths."""
        below = check_path(prefix) + "/"
        entries = self._read()
        yield from (_parameter(path, entries[path]) for path in sorted(entries) if path.startswith(below))

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"cannot read the store {self._path}: {error.strerror}") from error
        if mode & _OTHERS:
            raise StoreError(f"{self._path} holds secrets and others can read it; run: chmod 600 {self._path}")
        try:
            entries = json.loads(text)
        except ValueError:
            # The decoder's message quotes the text around the fault, which may be a secret.
            raise StoreError(f"{self._path} is not valid JSON; restore it from a backup or delete it") from None
        if not isinstance(entries, dict):
            raise StoreError(f"{self._path} must hold a JSON object of paths")
        return entries

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """The entries under an exclusive lock; what the caller changed is written when the block ends."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"cannot write the store {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._read()
            yield entries
            self._write(entries)
        finally:
            os.close(lock)

    def _write(self, entries: dict[str, Any]) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(entries, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _parameter(path: str, entry: dict[str, Any]) -> Parameter:
    try:
        return Parameter(
            path=path,
            value=SecretStr(entry["value"]),
            version=int(entry["version"]),
            secure=bool(entry["secure"]),
        )
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"the parameter {path} is damaged; delete it and save it again") from None
