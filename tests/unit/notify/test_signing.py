"""Signatures, verified by the libraries that receivers use."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import standardwebhooks
import svix.webhooks
from pydantic import SecretStr

from config.store import MemoryStore
from config.webhooks import rotate_secret, save_webhook, signing_secrets
from workers.notify.signing import signed_headers

SCOPE = "/byom/projects/acme"
BODY = '{"id":"evt_1","type":"job.completed","data":{"ü":"✓"}}'


def a_secret() -> SecretStr:
    store, now = MemoryStore(), datetime.now(UTC)
    webhook = save_webhook(store, SCOPE, "ops", url="https://hooks.example.com", now=now)
    return signing_secrets(store, webhook, now=now)[0]


def test_both_libraries_verify_what_is_signed() -> None:
    secret = a_secret()
    headers = signed_headers([secret], message_id="evt_1", at=datetime.now(UTC), body=BODY)

    assert standardwebhooks.Webhook(secret.get_secret_value()).verify(BODY, headers)["id"] == "evt_1"
    svix.webhooks.Webhook(secret.get_secret_value()).verify(BODY, headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "body"])
def test_what_was_changed_on_the_way_is_not_verified(name: str) -> None:
    secret = a_secret()
    headers = signed_headers([secret], message_id="evt_1", at=datetime.now(UTC), body=BODY)
    body = BODY
    if name == "body":
        body = BODY.replace("✓", "✗")
    else:
        headers[name] = f"{headers[name][:-1]}9" if headers[name][-1] != "9" else f"{headers[name][:-1]}8"

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret.get_secret_value()).verify(body, headers)


def test_another_secret_does_not_verify() -> None:
    headers = signed_headers([a_secret()], message_id="evt_1", at=datetime.now(UTC), body=BODY)

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(a_secret().get_secret_value()).verify(BODY, headers)


def test_an_offset_of_the_clock_changes_no_signature() -> None:
    secret, at = a_secret(), datetime.now(UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=9)))

    headers = [signed_headers([secret], message_id="m", at=one, body=BODY) for one in (at, elsewhere)]
    assert headers[0] == headers[1]


def test_while_a_secret_is_being_replaced_either_verifies_and_afterwards_only_the_new_one() -> None:
    store, now = MemoryStore(), datetime.now(UTC)
    webhook = save_webhook(store, SCOPE, "ops", url="https://hooks.example.com", now=now)
    (old,) = signing_secrets(store, webhook, now=now)
    webhook = rotate_secret(store, webhook, now=now, overlap=timedelta(hours=24))
    new, same = signing_secrets(store, webhook, now=now)
    headers = signed_headers([new, same], message_id="m", at=now, body=BODY)

    assert same == old
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        svix.webhooks.Webhook(secret.get_secret_value()).verify(BODY, headers)
    assert signing_secrets(store, webhook, now=now + timedelta(hours=24)) == [new]
