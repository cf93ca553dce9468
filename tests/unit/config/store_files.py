"""What the tests of stores in files share."""

import base64
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.errors import StoreError

SECRET = SecretStr("sk-CANARY")
KEY = SecretStr(base64.b64encode(bytes(range(32))).decode())
OTHER_KEY = SecretStr(base64.b64encode(bytes(range(1, 33))).decode())


def entries(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def refused(use: Callable[[], object], problem: str) -> None:
    """A use fails with a message that quotes no secret and no key."""
    with pytest.raises(StoreError, match=problem) as caught:
        use()
    told = "".join(traceback.format_exception(caught.value))
    assert not any(secret in told for secret in ("CANARY", KEY.get_secret_value(), OTHER_KEY.get_secret_value()))


def write_raw(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
