"""Whether a secret has the shape that its provider's credentials have, before it is saved or sent anywhere. Pure.

What people paste by mistake is well known: the wrong vendor's key, the ARN of a user, an OAuth client, the path of a
file instead of what it holds. Each gets an answer that says what to give instead. None quotes the secret.
"""

from pydantic import SecretStr

from config.api_keys import api_key_problem
from config.kinds import kind_of
from tasks.contract import ProviderKind


def credential_problem(
    secret: SecretStr, *, provider: ProviderKind, region: str | None = None, own_server: bool = False
) -> str | None:
    """Why a secret cannot be a credential of a provider, with the mend; None when it may be one.

    Args:
        secret: as the user gave it.
        provider: whose it is to be.
        region: where the connection calls, as far as it says so; a role must be of the same partition of AWS.
        own_server: the connection has an address of its own, where a gateway may take another vendor's keys.

    Returns:
        A clause that follows the name of the credential, such as `is the ARN of a user; …`.
    """
    text = secret.get_secret_value().strip()
    if not text:
        return "is empty; give the credential itself"
    kind = kind_of(provider)
    if kind.credential_problem is not None:
        return kind.credential_problem(text, region)
    return api_key_problem(text, kind=kind, own_server=own_server)
