"""What is signed, and how a message carries it. Pure.

Both halves are published, so that producers in any language can sign: the statement is canonical JSON (RFC 8785), and
the signature over it is that of Standard Webhooks, with the job's id in place of the message's.
"""

import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from standardwebhooks import Webhook

from tasks.contract.fields import Identifier, is_identifier

#: Name of the message header.
SIGNATURE: Final = "byom_signature"

#: The last second that all languages can write as a date.
_LATEST: Final = 253_402_300_799
#: Signatures of one message that are looked at: a key is replaced by one other.
_MOST: Final = 4


class CannotSign(ValueError):
    """The payload has no canonical form, or the id is none that is signed."""


class Signed(BaseModel):
    """The header: who sent the message, when it was signed, and the signature."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)

    producer: Identifier
    #: Seconds since 1970.
    timestamp: Annotated[int, Field(ge=0, le=_LATEST)]
    #: `v1,` and base64; several are separated by spaces.
    signature: Annotated[str, Field(max_length=512, pattern=r"^[!-~ ]+$")]

    @classmethod
    def of(cls, told: object) -> "Signed | None":
        """The header as it came; None if it is none."""
        try:
            return cls.model_validate(told)
        except ValidationError:
            return None


def signature_of(request: Any) -> dict[str, Any] | None:
    """The header with the signature of a message in hand, to go with what follows from it; None if it has none."""
    told = getattr(request, SIGNATURE, None)
    return None if told is None else {SIGNATURE: told}


def statement(*, task: str, producer: str, payload: Mapping[str, Any], replays: int = 0) -> str:
    """What is signed, but for the id and the time.

    Args:
        task: the task of the contract, such as `byom.extract.v1`, whichever one carries it inside the pool.
        producer: who sends it.
        payload: the one argument of that task, as JSON.
        replays: how often the job was sent anew after it had ended; only the pool itself does that.

    Raises:
        CannotSign: the payload holds what canonical JSON has not: whole numbers above 2^53, what is no number, or half
            of a surrogate pair.
    """
    document: dict[str, Any] = {"payload": payload, "producer": producer, "task": task}
    if replays:
        document["replays"] = replays
    try:
        return rfc8785.dumps(document).decode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        # The error may quote the payload.
        kind = type(error).__name__
    raise CannotSign(f"the payload has no canonical form ({kind})")


def signature(key: SecretStr, *, job_id: str, timestamp: int, text: str) -> str:
    """The signature of a statement.

    Raises:
        CannotSign: jobs of such an id are not signed.
    """
    if not is_identifier(job_id):
        raise CannotSign("the id of a signed job has letters, digits, '.', '_' and '-', and at most 128 of them")
    return Webhook(key.get_secret_value()).sign(job_id, datetime.fromtimestamp(timestamp, UTC), text)


def is_signed(signed: Signed, keys: Iterable[SecretStr], *, job_id: str, text: str) -> bool:
    """Whether one of the keys made one of the signatures; takes as long whichever it is, and where it differs.

    Raises:
        CannotSign: jobs of such an id are not signed.
    """
    given = signed.signature.split(" ", _MOST)[:_MOST]
    found = False
    for key in keys:
        expected = signature(key, job_id=job_id, timestamp=signed.timestamp, text=text).encode()
        for one in given:
            found |= hmac.compare_digest(expected, one.encode())
    return found
