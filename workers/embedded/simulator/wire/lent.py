"""What is lent for a while, such as an access token. Nothing is stored: it says itself whose it is and until when."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from workers.embedded.simulator.exchange import Reason, Rejection


class Lent:
    """Gives and checks what begins with a prefix and stands under the seal of this object; no other knows it."""

    def __init__(self, prefix: str, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._prefix = prefix
        self._seal = secrets.token_bytes(32)

    def lend(self, owner: str, *, seconds: float) -> str:
        """Something that holds for so many seconds."""
        said = base64.urlsafe_b64encode(f"{self.now() + seconds:.6f} {owner}".encode()).decode()
        return f"{self._prefix}.{said}.{self.sealed(said)}"

    def owner(self, text: str) -> str:
        """Whose it is.

        Raises:
            Rejection: it was not lent here, or it has expired.
        """
        head, _, seal = text.rpartition(".")
        said = head.removeprefix(f"{self._prefix}.")
        if not hmac.compare_digest(seal.encode(errors="replace"), self.sealed(said).encode()):
            raise Rejection(Reason.WRONG_KEY)
        expires, owner = base64.urlsafe_b64decode(said).decode().split(" ", 1)
        if float(expires) <= self.now():
            raise Rejection(Reason.EXPIRED_KEY)
        return owner

    def sealed(self, said: str) -> str:
        """What nobody else can make of a text: 64 hex digits."""
        return hmac.new(self._seal, said.encode(errors="replace"), hashlib.sha256).hexdigest()
