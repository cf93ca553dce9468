"""How a file store encrypts secrets: AES-256-GCM under one key of 32 bytes.

GCM rather than Fernet, because it takes associated data: each ciphertext is bound to its path and version, so that
nobody who can write the file can put one project's secret in another's place, or an old one in a new one's.
"""

import base64
import binascii
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from config.errors import StoreError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_DIGITS = 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MEND = "32 bytes as base64, such as from: openssl rand -base64 32"


class Cipher:
    """Encrypts and decrypts with one key, which it never shows."""

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)
        #: Tells keys apart without saying anything of them; stored beside each value.
        self.key_id = hashlib.sha256(b"byom store key id\0" + key).hexdigest()[:_ID_DIGITS]

    def encrypt(self, value: SecretStr, *, path: str, version: int) -> str:
        """A nonce and the ciphertext, as base64; what is at another path or version does not decrypt there."""
        # 2^32 random nonces are safe under one key, and a store never comes near that many writes.
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._gcm.encrypt(nonce, value.get_secret_value().encode(), _bound(path, version))
        return base64.b64encode(nonce + sealed).decode()

    def decrypt(self, text: str, *, path: str, version: int) -> SecretStr | None:
        """What was encrypted, or None when it is not what was written there with this key."""
        try:
            sealed = base64.b64decode(text, validate=True)
            plain = self._gcm.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(path, version))
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return SecretStr(plain.decode())


def parse_key(text: SecretStr, *, source: str) -> bytes:
    """A key as people and files hold it.

    Raises:
        StoreError: it is not one; names its source and never quotes it.
    """
    try:
        key = base64.b64decode(text.get_secret_value().strip().replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise StoreError(f"{source} is not a key of a store: it must be {_MEND}")
    return key


def read_key_file(file: Path) -> bytes | None:
    """The key in a file that only its owner can read; None when there is no such file.

    Raises:
        StoreError: it cannot be read, others can read it, or it holds no key.
    """
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            # A key has 44 characters; nothing is gained by reading a large file that is none.
            text = opened.read(1_000)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the key file {file}: {error.strerror}") from error
    if mode & _OTHERS:
        raise StoreError(f"{file} holds the key of the store and others can read it; run: chmod 600 {file}")
    return parse_key(SecretStr(text.decode("ascii", errors="replace")), source=str(file))


def create_key_file(file: Path) -> bytes:
    """Make a new key and write it, for its owner only; whole or not at all. The caller holds the store's lock.

    Raises:
        OSError: it cannot be written.
    """
    key = os.urandom(_KEY_BYTES)
    write_atomically(file, base64.b64encode(key) + b"\n")
    return key


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file as a whole, for its owner only: a crash at any moment leaves the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The new name itself is on disk only when its folder is.
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bound(path: str, version: int) -> bytes:
    return f"{path}\n{version}".encode()
