"""How what customers said is encrypted while it is kept: AES-256-GCM, bound to its job."""

from typing import Self

from pydantic import SecretStr

from config.errors import SettingsError, StoreError
from config.store.cipher import Cipher, parse_key

_NAME = "BYOM_DEAD_LETTER_KEY"
#: Of what is encrypted: there is only one form so far.
_VERSION = 1


class Sealed(Exception):
    """The contents of a letter cannot be read here; the message says what is missing."""


class Sealing:
    """Encrypts with its first key and decrypts with any; without keys all stays in the clear."""

    def __init__(self, *keys: bytes) -> None:
        self._ciphers = [Cipher(key) for key in keys]

    @classmethod
    def of(cls, setting: SecretStr | None) -> Self:
        """From keys as base64, separated by commas.

        Raises:
            SettingsError: one of them is none.
        """
        texts = [] if setting is None else setting.get_secret_value().split(",")
        try:
            keys = [parse_key(SecretStr(text), source=_NAME) for text in texts if text.strip()]
        except StoreError:
            keys = None
        if keys is None:
            raise SettingsError(f"{_NAME} must be 32 bytes as base64, such as from: openssl rand -base64 32")
        return cls(*keys)

    def seal(self, text: str, *, job_id: str) -> tuple[str, str]:
        """The text as it is to be kept, and the name of its key; that is empty where there is none."""
        if not self._ciphers:
            return text, ""
        cipher = self._ciphers[0]
        return cipher.encrypt(SecretStr(text), path=_path(job_id), version=_VERSION), cipher.key_id

    def open(self, sealed: str, *, key: str | None, job_id: str) -> str:
        """What was sealed.

        Raises:
            Sealed: with a key that is not here, or it is not what was sealed.
        """
        if key is None:
            return sealed
        cipher = next((cipher for cipher in self._ciphers if cipher.key_id == key), None)
        if cipher is None:
            raise Sealed(f"what job {job_id} holds is encrypted with key {key}, which is not in {_NAME}")
        found = cipher.decrypt(sealed, path=_path(job_id), version=_VERSION)
        if found is None:
            raise Sealed(f"what is kept of job {job_id} was altered, or belongs to another job; it cannot be read")
        return found.get_secret_value()


def _path(job_id: str) -> str:
    return f"dead/{job_id}"
