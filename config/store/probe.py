"""Whether a store can be used, found out by using it."""

import secrets
from dataclasses import dataclass

from pydantic import SecretStr

from config.errors import StoreError

from .base import ParameterStore, join_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What this process may do with a store. Each field is empty when it may, or says why not and the mend."""

    #: Listing and reading what is not secret.
    read: str
    #: Writing a secret, reading it back and deleting it.
    write: str

    @property
    def readable(self) -> bool:
        """Whether the store can be read."""
        return not self.read

    @property
    def writable(self) -> bool:
        """Whether the store can be written."""
        return not self.write


def probe(store: ParameterStore, root: str) -> Access:
    """List what is below `root`; write, read and delete a secret of no meaning there, at `<root>/probe/<random>`."""
    return Access(read=_trouble_reading(store, root), write=_trouble_writing(store, root))


def _trouble_reading(store: ParameterStore, root: str) -> str:
    try:
        store.list(root, secure=False)
    except StoreError as error:
        return str(error)
    return ""


def _trouble_writing(store: ParameterStore, root: str) -> str:
    # A name of its own: AWS asks for half a minute before the name of a deleted parameter is used again.
    path = join_path(root, "probe", secrets.token_hex(8))
    value = SecretStr(secrets.token_hex(16))
    try:
        store.put(path, value, secure=True, expected_version=0)
    except StoreError as error:
        return str(error)
    try:
        back = store.get(path)
    except StoreError as error:
        trouble = f"written, but: {error}"
    else:
        trouble = "" if back and back.value == value else f"{path} does not read back as it was written"
    try:
        store.delete(path)
    except StoreError as error:
        return f"{trouble}{'; ' if trouble else ''}{error}; delete {path} by hand"
    return trouble
