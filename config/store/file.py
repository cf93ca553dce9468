"""A parameter store in one local JSON file: for a laptop and for tests, not for production.

Values stand in it as plain text, so the file must be readable by its owner only; every read checks it.
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

from .base import Parameter, check_path, check_version

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileStore:
    """Parameters in one JSON file, written atomically under a lock that all processes respect."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).expanduser()

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None.

        Raises:
            StoreError: the file cannot be read, is damaged, or others can read it.
        """
        check_path(path)
        entry = self._read().get(path)
        return None if entry is None else _parameter(path, entry)

    def put(self, path: str, value: SecretStr, *, secure: bool, expected_version: int | None = None) -> Parameter:
        """Write a new version and return it.

        Raises:
            StoreConflict: another version than the expected one is there; nothing was written.
            StoreError: as `get`, or the file cannot be written; it is then as it was.
        """
        check_path(path)
        with self._locked():
            entries = self._read()
            found = _parameter(path, entries[path]).version if path in entries else 0
            check_version(path, found, expected_version)
            version = found + 1
            entries[path] = {"value": value.get_secret_value(), "version": version, "secure": secure}
            self._write(entries)
        return Parameter(path=path, value=value, version=version, secure=secure)

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing.

        Raises:
            StoreError: as `put`.
        """
        check_path(path)
        with self._locked():
            entries = self._read()
            if path not in entries:
                return False
            del entries[path]
            self._write(entries)
        return True

    def list(self, prefix: str) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths.

        Raises:
            StoreError: as `get`.
        """
        below = check_path(prefix) + "/"
        entries = self._read()
        return iter([_parameter(path, entries[path]) for path in sorted(entries) if path.startswith(below)])

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
        except (ValueError, RecursionError):
            # The decoder's message, and the exception itself, quote the text around the fault: it may be a secret.
            entries = None
        if not isinstance(entries, dict):
            raise StoreError(
                f"{self._path} is damaged: not a JSON object of paths; restore it from a backup, or delete it and "
                "save the connections again"
            )
        return entries

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, and say which store an I/O error is about."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreError(f"cannot write the store {self._path}: {error.strerror}") from error

    def _write(self, entries: dict[str, Any]) -> None:
        """Replace the file as a whole: a reader, or a crash at any moment, meets the old one or the new one."""
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


def _parameter(path: str, entry: Any) -> Parameter:
    match entry:
        case {"value": str(value), "version": int(version), "secure": bool(secure)}:
            return Parameter(path=path, value=SecretStr(value), version=version, secure=secure)
    raise StoreError(f"the parameter {path} is damaged; delete it and save it again")
