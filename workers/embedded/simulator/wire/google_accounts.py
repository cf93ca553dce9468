"""Simulated service accounts: their keys, and the check of what is signed with them.

Every address has an account, and `simulated_key_file` makes its key from the address alone, so that nothing needs to be
stored and a simulator in another process knows it, too. Written from RFC 7523 and Google's description of it, and not
from a client's code.
"""

import base64
import hashlib
import json
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from workers.embedded.simulator.exchange import Reason, Rejection

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_SCOPES = frozenset(
    {"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/generative-language"}
)
#: Seconds that an assertion may hold, and that a client's clock may be off.
_LONGEST, _SKEW = 3_600, 300
_EXPONENT, _PRIME_BITS, _ROUNDS = 65_537, 1_024, 8
_SMALL_PRIMES = [number for number in range(3, 2_000) if all(number % factor for factor in range(2, number))]


def simulated_key_file(email: str, *, project: str = "simulated-project") -> str:
    """A service account's JSON key file: what to store as the credential of a Vertex connection to the simulator."""
    pem = _private_key(email).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    document = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": _key_id(email),
        "private_key": pem.decode(),
        "client_email": email,
        "client_id": "100000000000000000000",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "universe_domain": "googleapis.com",
    }
    return json.dumps(document)


def simulated_key_file_of(owner: str) -> str:
    """The same, of an account with the owner's name: a word of lower-case letters, digits and hyphens."""
    return simulated_key_file(f"{owner}@simulated.iam.gserviceaccount.com")


def verify_assertion(assertion: str, *, now: float) -> str:
    """The address of the service account that signed a JWT.

    Raises:
        Rejection: the assertion is not one, is not for this server, has expired, or is signed with another key.
    """
    signed, _, signature = assertion.rpartition(".")
    try:
        header, claims = (_object(part) for part in signed.split("."))
        raw = _decoded(signature)
    except (ValueError, RecursionError):
        raise _refused("Bad Request") from None
    email = claims.get("iss")
    if not isinstance(email, str) or header.get("alg") != "RS256" or header.get("kid") != _key_id(email):
        raise _refused("Invalid grant: account not found")
    try:
        _private_key(email).public_key().verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise _refused("Invalid JWT Signature.") from None
    if claims.get("aud") != TOKEN_URI:
        raise _refused("Invalid JWT: Failed audience check.")
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int) or not 0 < expires - issued <= _LONGEST:
        raise _refused("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
    if issued > now + _SKEW or expires < now - _SKEW:
        raise _refused("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
    if not _SCOPES & set(str(claims.get("scope")).split()):
        raise Rejection(Reason.WRONG_KEY, "Invalid OAuth scope or ID token audience provided.", code="invalid_scope")
    return email


def _refused(words: str) -> Rejection:
    return Rejection(Reason.WRONG_KEY, words)


def _key_id(email: str) -> str:
    return hashlib.sha256(f"simulated key id of {email}".encode()).hexdigest()[:40]


@lru_cache(maxsize=256)
def _private_key(email: str) -> rsa.RSAPrivateKey:
    """The key of an account; half a second of work the first time."""
    rng = random.Random(f"simulated key of {email}")  # noqa: S311 - repeatable on purpose: it guards nothing
    p, q = _prime(rng), _prime(rng)
    public = rsa.RSAPublicNumbers(e=_EXPONENT, n=p * q)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p, q=q, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1), iqmp=pow(q, -1, p), public_numbers=public
    )
    return numbers.private_key()


def _prime(rng: random.Random) -> int:
    # The two highest bits are set, so that the product of two has its full length.
    top = 0b11 << (_PRIME_BITS - 2)
    while True:
        candidate = rng.getrandbits(_PRIME_BITS) | top | 1
        if (
            all(candidate % prime for prime in _SMALL_PRIMES)
            and (candidate - 1) % _EXPONENT
            and _is_prime(candidate, rng)
        ):
            return candidate


def _is_prime(number: int, rng: random.Random) -> bool:
    """Miller and Rabin's test."""
    odd = number - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for _ in range(_ROUNDS):
        power = pow(rng.randrange(2, number - 1), odd, number)
        if power in {1, number - 1}:
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _object(part: str) -> Mapping[str, Any]:
    found = json.loads(_decoded(part))
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - like all that is wrong with the part
    return found


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
