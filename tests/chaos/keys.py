"""The credentials of a run, in the form that each kind takes, and what of them must be seen nowhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from tasks.contract import ProviderKind
from workers.embedded.simulator import Account, RemoteSimulator, fingerprint
from workers.embedded.simulator.wire.aws_signature import simulated_credential, simulated_secret
from workers.embedded.simulator.wire.aws_sts import SESSION_PREFIX
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.simulator.wire.google_oauth import TOKEN_PREFIX

#: Stands in every credential that is one word.
SECRET: Final = "sk-chaos-canary-7c41"
#: Stands in every episode; must never be seen where only operators look.
TEXT: Final = "chaos-canary-episode-9920"
#: Name of the roles that Bedrock connections have instead of keys.
_ROLE: Final = "chaos-canary-role-58b3"
#: What stands in tokens and sessions, which vendors give and nobody stores.
LENT: Final = (TOKEN_PREFIX, SESSION_PREFIX)
#: Lines of a private key that are looked for, from its middle: the first ones are alike in all keys.
_LINES: Final = slice(8, 10)

#: Owner → how long tokens and sessions hold that are lent to it. So all ways of replacing one are gone in a run of some
#: minutes: it ends, and the worker knows; it is renewed behind the calls; it is taken back, and a call finds that out.
TERMS: Final[Mapping[str, Mapping[str, float]]] = {
    "ginkgo-primary": {"lends_for": 44},
    "iris-primary": {"revokes_after": 40},
    "worker 0": {"lends_for": 620},
    "worker 1": {"revokes_after": 40},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A credential."""

    secret: str = field(repr=False)
    #: What the vendor calls its owner.
    account: str = field(repr=False)
    #: Parts that no other text has.
    marks: Sequence[str] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Names its owner in the vendors' books."""
        return fingerprint(self.account)


def key_of(kind: ProviderKind, owner: str, *, role: bool = False) -> Key:
    """A credential of an owner.

    Args:
        kind: that it is for.
        owner: a word of lower-case letters, digits and hyphens.
        role: whether it is a role, where the kind knows any.
    """
    match kind:
        case ProviderKind.VERTEX:
            return _service_account(f"{owner}@chaos.iam.gserviceaccount.com")
        case ProviderKind.BEDROCK if role:
            arn = f"arn:aws:iam::123456789012:role/{_ROLE}-{owner}"
            return Key(secret=arn, account=arn, marks=(_ROLE,))
        case ProviderKind.BEDROCK:
            return _access_key(owner)
        case _:
            return Key(secret=f"{SECRET}-{owner}", account=f"{SECRET}-{owner}", marks=(SECRET,))


def _service_account(email: str) -> Key:
    text = simulated_key_file(email)
    return Key(secret=text, account=email, marks=tuple(json.loads(text)["private_key"].splitlines()[_LINES]))


def _access_key(owner: str) -> Key:
    access_key_id = f"AKIA{hashlib.sha256(owner.encode()).hexdigest()[:16].upper()}"
    secret = simulated_secret(access_key_id)
    return Key(secret=simulated_credential(access_key_id), account=access_key_id, marks=(access_key_id, secret))


def workers_key(number: int) -> Key:
    """The access key with which a worker assumes roles."""
    return _access_key(f"worker {number}")


def environment(simulator: RemoteSimulator, worker: int) -> dict[str, str]:
    """Where a worker gets tokens and sessions, and with what."""
    key = workers_key(worker)
    urls = simulator.base_urls
    return {
        "BYOM_GOOGLE_TOKEN_URL": urls["google_oauth"],
        "AWS_ENDPOINT_URL_STS": urls["aws_sts"],
        "AWS_ACCESS_KEY_ID": key.account,
        "AWS_SECRET_ACCESS_KEY": simulated_secret(key.account),
        # Nothing of the machine's own.
        "AWS_SESSION_TOKEN": "",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def set_terms(simulator: RemoteSimulator, owner: str, key: Key) -> None:
    """Tell the vendors for how long they lend to an owner, if anything is said of that."""
    if owner in TERMS:
        account = {"key": SecretStr(key.account), **TERMS[owner]}
        simulator.put_account(Account.model_validate(account))
