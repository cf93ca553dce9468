"""The store behind a URL."""

import re

from pydantic import SecretStr

from config.errors import StoreError

from .base import ParameterStore, check_path
from .file import FileStore
from .memory import MemoryStore

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d{1,2}")
#: AWS keeps names that begin so, in any case, to itself.
_RESERVED = ("/aws", "/ssm")


def open_store(url: str, *, key: SecretStr | None = None) -> ParameterStore:
    """The store behind a URL.

    Nothing is read, and no connection is made, before the store is used.

    Args:
        url: `ssm:`, `ssm://REGION`, `ssm://REGION/PREFIX` or `ssm:///PREFIX`; `file:///absolute/path.json`,
            `file:relative.json` or `file:~/path.json`; or `memory:`.
        key: the key of a `file:` store; None means the key file beside it. The other stores have no use for it.

    Raises:
        StoreError: no store speaks this scheme, the URL does not fit it, or the key is none.
    """
    # Not parsed as a URL: a path may hold '#', '?' and '%'.
    scheme, _, rest = url.partition(":")
    match scheme:
        case "memory":
            return MemoryStore()
        case "file":
            return FileStore(_file_path(rest), key=key)
        case "ssm":
            return _ssm(rest)
        case _:
            raise StoreError(f"BYOM_STORE_URL has the unknown scheme {scheme!r}; use ssm:, file:PATH or memory:")


def _file_path(path: str) -> str:
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise StoreError("BYOM_STORE_URL names a host; write file:relative.json or file:///absolute/path.json")
    if not path:
        raise StoreError("BYOM_STORE_URL has no path; write file:relative.json or file:///absolute/path.json")
    return path


def _ssm(rest: str) -> ParameterStore:
    # Half a tenth of a second that only those who use SSM spend.
    from .ssm import SsmStore  # noqa: PLC0415

    if rest and not rest.startswith("//"):
        raise StoreError("BYOM_STORE_URL does not fit: write ssm:, ssm://REGION or ssm://REGION/PREFIX")
    region, slash, below = rest.removeprefix("//").partition("/")
    if region and not _REGION.fullmatch(region):
        raise StoreError("BYOM_STORE_URL names no region of AWS; write ssm://eu-central-1, or ssm: for the default one")
    prefix = f"{slash}{below}".rstrip("/")
    if prefix:
        check_path(prefix)
    if prefix.lower().startswith(_RESERVED):
        raise StoreError("BYOM_STORE_URL has a prefix that AWS keeps to itself: it must not begin with 'aws' or 'ssm'")
    return SsmStore(region=region or None, prefix=prefix)
