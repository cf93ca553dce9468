"""Signatures as Standard Webhooks (and Svix) have them. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor

from pydantic import SecretStr
from standardwebhooks import Webhook


def signed_headers(secrets: Sequence[SecretStr], *, message_id: str, at: datetime, body: str) -> dict[str, str]:
    """The three headers of a message.

    Args:
        secrets: all that sign now; while one is being replaced these are two, and either serves to verify.
        message_id: the same for every try, so that receivers can tell a repetition.
        at: the time of this try; receivers refuse what is older than five minutes.
        body: exactly as it is sent.
    """
    at = at.astimezone(UTC)
    signatures = (Webhook(secret.get_secret_value()).sign(message_id, at, body) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(floor(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
