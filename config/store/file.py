"""A parameter store in one local JSON file: for a laptop, a test or a single machine.

Secrets stand in it encrypted, everything else in the clear, so that operators can compare two versions of it:

{"/byom/projects/acme/secrets/main/1":
    {"version": 1, "secure": true, "ciphertext": "<base64>", "key": "<which key, not the key>"},
 "/byom/projects/acme/profile": {"version": 2, "secure": false, "value": "{…}"}}

The key is `BYOM_STORE_KEY`, or else the file beside the store, `<store>.key`, made with the first secret. Who has both
files has the secrets: keep them apart in backups.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.errors import StoreError

from .base import Parameter, SecretFacts, check_kind, check_path, check_value, check_version
from .cipher import Cipher, create_key_file, parse_key, read_key_file, write_atomically

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: What the setting is called where people set it.
KEY_SETTING = "BYOM_STORE_KEY"


class FileStore:
    """Parameters in one JSON file, written atomically under a lock that all processes respect."""

    def __init__(self, path: str | Path, *, key: SecretStr | None = None) -> None:
        """Open nothing yet; `key` is 32 bytes as base64, None means the key file.

        Raises:
            StoreError: `key` is not a key.
        """
        self._path = Path(path).expanduser()
        self._given = None if key is None else Cipher(parse_key(key, source=KEY_SETTING))

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def key_path(self) -> Path | None:
        """The file that the key is kept in; None when the key was given."""
        return None if self._given else self._path.with_name(f"{self._path.name}.key")

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None.

        Raises:
            StoreError: the file or the key file cannot be read, is damaged, or others can read it; or the value was
                encrypted with another key.
        """
        check_path(path)
        entry = self._read().get(path)
        return None if entry is None else self._parameter(path, entry)

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        """Write a new version and return it. `kms_key` is written down and encrypts nothing here.

        Raises:
            StoreConflict: `expected_version` is not the version there.
            StoreError: as `get`, or the file cannot be written; it is then as it was.
        """
        check_path(path)
        check_value(path, value)
        with self._locked():
            entries = self._read()
            old = _facts(path, entries[path]) if path in entries else None
            check_version(path, old.version if old else 0, expected_version)
            if old is not None:
                check_kind(path, was_secure=old.secure, secure=secure)
            version = old.version + 1 if old else 1
            entry: dict[str, Any] = {"version": version, "secure": secure}
            if secure:
                cipher = self._cipher(entries)
                entry |= {"ciphertext": cipher.encrypt(value, path=path, version=version), "key": cipher.key_id}
            else:
                entry["value"] = value.get_secret_value()
            if kms_key is not None:
                entry["kms_key"] = kms_key
            entries[path] = entry
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

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths.

        Raises:
            StoreError: as `get`.
        """
        return iter(
            [
                self._parameter(path, entry)
                for path, entry in self._below(prefix)
                if secure in {None, _facts(path, entry).secure}
            ]
        )

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:
        """The secure ones below `prefix`, in the order of their paths; needs no key.

        Raises:
            StoreError: the file cannot be read, is damaged, or others can read it.
        """
        found = [(path, entry, _facts(path, entry)) for path, entry in self._below(prefix)]
        return iter(
            [
                SecretFacts(path=path, version=facts.version, kms_key=entry.get("kms_key"))
                for path, entry, facts in found
                if facts.secure
            ]
        )

    def _below(self, prefix: str) -> Sequence[tuple[str, Any]]:
        below = check_path(prefix) + "/"
        return [(path, entry) for path, entry in sorted(self._read().items()) if path.startswith(below)]

    def _parameter(self, path: str, entry: Any) -> Parameter:
        facts = _facts(path, entry)
        return facts if not facts.secure else self._decrypted(facts, entry["ciphertext"], entry["key"])

    def _decrypted(self, facts: Parameter, ciphertext: str, key_id: str) -> Parameter:
        cipher = self._given or self._file_cipher()
        if cipher is None:
            raise StoreError(
                f"the secrets of {self._path} cannot be decrypted: {self.key_path} is missing; restore it, or set "
                f"{KEY_SETTING} to the key they were encrypted with"
            )
        if cipher.key_id != key_id:
            raise StoreError(
                f"{facts.path} cannot be decrypted: it was encrypted with the key {key_id}, and {self._key_source} is "
                f"the key {cipher.key_id}; give the right one, or delete the value and save it again"
            )
        value = cipher.decrypt(ciphertext, path=facts.path, version=facts.version)
        if value is None:
            raise _damaged(facts.path)
        return Parameter(path=facts.path, value=value, version=facts.version, secure=True)

    def _cipher(self, entries: dict[str, Any]) -> Cipher:
        """What to encrypt with; makes a key for a store that has no secrets yet. Needs the lock."""
        cipher = self._given or self._file_cipher()
        keys = {entry["key"] for entry in entries.values() if isinstance(entry, dict) and "key" in entry}
        if cipher is None and keys:
            raise StoreError(
                f"{self.key_path} is missing, and a new key would not decrypt the secrets that {self._path} holds; "
                f"restore it, or set {KEY_SETTING}"
            )
        if cipher is not None and keys and cipher.key_id not in keys:
            raise StoreError(
                f"{self._key_source} is the key {cipher.key_id}, which none of the secrets in {self._path} was "
                "encrypted with; give the right one"
            )
        return cipher or Cipher(create_key_file(self._path.with_name(f"{self._path.name}.key")))

    def _file_cipher(self) -> Cipher | None:
        key = read_key_file(self.key_path) if self.key_path else None
        return None if key is None else Cipher(key)

    @property
    def _key_source(self) -> str:
        return KEY_SETTING if self.key_path is None else str(self.key_path)

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(
                f"cannot read the store {self._path}: {error.strerror}; BYOM_STORE_URL is to name a file"
            ) from error
        if not stat.S_ISREG(mode):
            raise StoreError(f"the store {self._path} is no file; name one in BYOM_STORE_URL, as file:PATH")
        if mode & _OTHERS:
            raise StoreError(f"{self._path} holds secrets and others can read it; run: chmod 600 {self._path}")
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError):
            # The decoder's message, and the exception itself, quote the text around the fault: it may be a secret.
            entries = None
        if not isinstance(entries, dict) or not all(path.startswith("/") for path in entries):
            raise StoreError(
                f"{self._path} is damaged, or no store: not a JSON object of paths; restore it from a backup, name "
                "another file in BYOM_STORE_URL, or delete it and save the connections again"
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
        write_atomically(self._path, json.dumps(entries, indent=1, sort_keys=True).encode())


def _facts(path: str, entry: Any) -> Parameter:
    """An entry as it stands: of a secret everything but its value, which is still encrypted.

    Raises:
        StoreError: it is damaged.
    """
    match entry:
        case {"version": int(version), "secure": True, "ciphertext": str(), "key": str()} if "value" not in entry:
            return Parameter(path=path, value=SecretStr(""), version=version, secure=True)
        case {"version": int(version), "secure": False, "value": str(value)} if "ciphertext" not in entry:
            return Parameter(path=path, value=SecretStr(value), version=version, secure=False)
    raise _damaged(path)


def _damaged(path: str) -> StoreError:
    return StoreError(f"the parameter {path} is damaged; delete it and save it again")
