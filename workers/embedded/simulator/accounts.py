"""The simulator's customers: their keys, the models they may use, and their limits."""

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

#: High enough that nobody meets them by accident.
UNLIMITED_RPM = 10_000_000
UNLIMITED_TPM = 10_000_000_000
#: Key of callers that send none, to servers that need none.
ANONYMOUS = "anonymous"


def fingerprint(key: str) -> str:
    """Names a key without giving it away: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class KeyState(StrEnum):
    """Whether a key is honoured."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Charge(StrEnum):
    """What the token limit is charged with."""

    #: Input plus the output that the answer has.
    ACTUAL = "actual"
    #: Input plus the output cap that the request asks for, and nothing is given back.
    MAX_OUTPUT = "max_output"


class Account(BaseModel):
    """One customer of the simulated vendors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SecretStr
    state: KeyState = KeyState.ACTIVE
    #: Models that the key may use; absent means all that the vendor has.
    models: frozenset[str] | None = None
    #: Requests per minute, per model.
    rpm: Annotated[int, Field(ge=1)] = UNLIMITED_RPM
    #: Tokens per minute, per model.
    tpm: Annotated[int, Field(ge=1)] = UNLIMITED_TPM
    #: Requests that may come at once; absent means a minute's worth.
    rpm_burst: Annotated[int, Field(ge=1)] | None = None
    #: Tokens that may come at once; absent means a minute's worth.
    tpm_burst: Annotated[int, Field(ge=1)] | None = None
    charge: Charge = Charge.ACTUAL
    #: Whether limits are enforced; otherwise they are only watched.
    enforce: bool = True
    #: Seconds that access tokens and sessions hold that this account asks for; absent means as long as the vendor's do.
    lends_for: Annotated[int, Field(ge=1)] | None = None
    #: Seconds after which they are refused all the same, as when their owner takes them back; absent means never.
    revokes_after: Annotated[float, Field(gt=0)] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Names the key in books, meters and fault rules."""
        return fingerprint(self.key.get_secret_value())

    def may_use(self, model: str) -> bool:
        """Whether the key gives access to a model."""
        return self.models is None or model in self.models


class Accounts:
    """All customers. In permissive mode an unknown key opens an account with the default limits."""

    def __init__(self, accounts: Iterable[Account], *, template: Account | None) -> None:
        self._by_key = {account.key.get_secret_value(): account for account in accounts}
        self._template = template

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_key.values())

    def put(self, account: Account) -> None:
        """Open an account, or replace the one that has this key."""
        self._by_key[account.key.get_secret_value()] = account

    def find(self, key: str) -> Account | None:
        """The account of a key, or None when the key is wrong."""
        account = self._by_key.get(key)
        if account is None and self._template is not None:
            account = self._template.model_copy(update={"key": SecretStr(key)})
            self._by_key[key] = account
        return account

    def anonymous(self) -> Account:
        """The account of callers without a key."""
        known = self._by_key.get(ANONYMOUS)
        if known is None:
            known = (self._template or Account(key=SecretStr(ANONYMOUS))).model_copy(
                update={"key": SecretStr(ANONYMOUS)}
            )
            self._by_key[ANONYMOUS] = known
        return known
