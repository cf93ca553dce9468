"""Webhooks in the parameter store: what is inherited, what is refused, and the life of their secrets."""

import base64
from datetime import timedelta

import pytest
from pydantic import SecretStr

from config.connections import AccountProfile, account_path, project_path, save_project, write_account
from config.errors import InvalidWebhook, StoreError
from config.store import MemoryStore
from config.webhooks import (
    CALLBACK,
    DEFAULT_KINDS,
    Webhook,
    effective_webhooks,
    read_webhook,
    remove_webhook,
    rotate_secret,
    save_webhook,
    set_enabled,
    signing_secrets,
    webhooks_of,
)
from tasks.contract.events import EventKind
from tests.support import START

PROJECT, ACCOUNT = project_path("acme"), account_path("acme-inc")
URL = "https://hooks.example.com/byom"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    save_project(made, "acme", account="acme-inc")
    return made


def save(store: MemoryStore, name: str = "ops", *, scope: str = PROJECT, url: str = URL) -> Webhook:
    return save_webhook(store, scope, name, url=url, now=START)


def test_what_is_saved_is_read_again_with_a_secret_of_its_own(store: MemoryStore) -> None:
    saved = save(store)

    assert read_webhook(store, PROJECT, "ops") == saved
    assert webhooks_of(store, PROJECT) == [saved]
    (secret,) = signing_secrets(store, saved, now=START)
    prefix, _, encoded = secret.get_secret_value().partition("_")
    assert (prefix, len(base64.b64decode(encoded))) == ("whsec", 32)
    assert [parameter.path for parameter in store.list("/byom") if parameter.secure] == [
        "/byom/projects/acme/webhook-secrets/ops/1"
    ]


def test_two_webhooks_never_share_a_secret(store: MemoryStore) -> None:
    secrets = [signing_secrets(store, save(store, name), now=START) for name in ("a", "b")]

    assert secrets[0] != secrets[1]


def test_saving_again_changes_address_and_kinds_and_keeps_the_rest(store: MemoryStore) -> None:
    before = set_enabled(store, save(store), enabled=False)
    secrets = signing_secrets(store, before, now=START)
    after = save_webhook(store, PROJECT, "ops", url="https://other.example.com/x", kinds=("job.*",), now=START)

    assert (after.url, after.kinds, after.enabled) == ("https://other.example.com/x", ("job.*",), False)
    assert signing_secrets(store, after, now=START) == secrets


def test_a_project_has_its_accounts_webhooks_but_for_those_of_the_same_name(store: MemoryStore) -> None:
    inherited = save(store, "all", scope=ACCOUNT)
    save(store, "ops", scope=ACCOUNT, url="https://account.example.com/x")
    own = save(store, "ops")

    assert effective_webhooks(store, project="acme") == [inherited, own]
    assert [one.scope for one in effective_webhooks(store, project=None, account="acme-inc")] == [ACCOUNT, ACCOUNT]
    assert effective_webhooks(store, project="stranger") == []


@pytest.mark.parametrize(
    ("kinds", "taken"),
    [
        (DEFAULT_KINDS, {kind for kind in EventKind if kind.startswith(("byom.", "backfill."))}),
        (("job.failed",), {EventKind.JOB_FAILED}),
        (("job.*", "byom.rate_limited"), {EventKind.JOB_FAILED, EventKind.JOB_COMPLETED, EventKind.RATE_LIMITED}),
        (("*",), set(EventKind)),
    ],
)
def test_a_webhook_takes_what_it_subscribes_to(
    store: MemoryStore, kinds: tuple[str, ...], taken: set[EventKind]
) -> None:
    webhook = save_webhook(store, PROJECT, "ops", url=URL, kinds=kinds, now=START)

    assert {kind for kind in EventKind if webhook.takes(kind)} == taken
    assert not any(set_enabled(store, webhook, enabled=False).takes(kind) for kind in EventKind)


@pytest.mark.parametrize(
    ("name", "url", "kinds"),
    [
        ("ops", "ftp://hooks.example.com", ("*",)),
        ("ops", "https://me:canary@hooks.example.com", ("*",)),
        ("ops", URL, ("job.finished",)),
        ("ops", None, ("*",)),
        (CALLBACK, URL, ("*",)),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    store: MemoryStore, name: str, url: str | None, kinds: tuple[str, ...]
) -> None:
    before = list(store.list("/byom"))
    with pytest.raises(InvalidWebhook) as refused:
        save_webhook(store, PROJECT, name, url=url, kinds=kinds, now=START)

    assert "canary" not in str(refused.value)
    assert list(store.list("/byom")) == before


def test_a_name_that_is_none_is_refused(store: MemoryStore) -> None:
    with pytest.raises(StoreError, match="not a name"):
        save(store, "../ops")


def test_a_rotated_secret_signs_beside_the_new_one_until_the_overlap_ends(store: MemoryStore) -> None:
    webhook = save(store)
    (old,) = signing_secrets(store, webhook, now=START)
    webhook = rotate_secret(store, webhook, now=START, overlap=timedelta(hours=1))

    new, second = signing_secrets(store, webhook, now=START + timedelta(minutes=59))
    assert second == old
    assert signing_secrets(store, webhook, now=START + timedelta(hours=1)) == [new]
    assert read_webhook(store, PROJECT, "ops") == webhook


def test_at_most_two_secrets_sign_and_older_ones_are_removed(store: MemoryStore) -> None:
    webhook = save(store)
    for _ in range(3):
        webhook = rotate_secret(store, webhook, now=START, overlap=timedelta(days=1))

    assert len(signing_secrets(store, webhook, now=START)) == 2
    kept = [parameter.path.rsplit("/", 1)[1] for parameter in store.list(f"{PROJECT}/webhook-secrets")]
    assert kept == ["3", "4"]


def test_without_an_overlap_the_old_secret_is_gone_at_once(store: MemoryStore) -> None:
    webhook = rotate_secret(store, save(store), now=START, overlap=timedelta(0))

    assert list(webhook.secrets) == [2]
    assert [parameter.path for parameter in store.list("/byom") if parameter.secure] == [
        "/byom/projects/acme/webhook-secrets/ops/2"
    ]


def test_a_removed_webhook_leaves_no_secret_behind(store: MemoryStore) -> None:
    webhook = rotate_secret(store, save(store), now=START, overlap=timedelta(days=1))
    remove_webhook(store, webhook)

    assert read_webhook(store, PROJECT, "ops") is None
    assert [parameter.path for parameter in store.list("/byom")] == ["/byom/projects/acme/profile"]


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 5}', '{"secrets": {"x": {}}}'])
def test_what_is_stored_damaged_is_reported_by_name(store: MemoryStore, text: str) -> None:
    store.put(f"{PROJECT}/webhooks/ops", SecretStr(text), secure=False)

    with pytest.raises(InvalidWebhook, match="the webhook 'ops' of /byom/projects/acme"):
        read_webhook(store, PROJECT, "ops")


def test_a_secret_is_encrypted_with_its_accounts_own_key(store: MemoryStore) -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    write_account(store, "acme-inc", AccountProfile(kms_key=key))
    save(store)

    assert [facts.kms_key for facts in store.secrets(PROJECT)] == [key]
