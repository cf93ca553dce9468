"""`byom webhook`: what it saves, what it shows, and that a secret is shown by one command alone."""

import json
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import standardwebhooks

from config.connections import project_path, save_project
from config.store import FileStore
from config.webhooks import Webhook, read_webhook, signing_secrets
from tests.posted import listening
from tests.support import START
from tests.unit.cli.conftest import Byom
from workers.notify.outbox import PREFIX

URL = "https://hooks.example.com/byom?token=canary-token"
ACME = ("--project", "acme")


@pytest.fixture(autouse=True)
def client(home: object, monkeypatch: pytest.MonkeyPatch) -> fakeredis.FakeRedis:
    made = fakeredis.FakeRedis()
    monkeypatch.setattr("workers.cli.webhook.connect", lambda _url: made)
    return made


@pytest.fixture(autouse=True)
def project(store: FileStore) -> None:
    save_project(store, "acme", account="acme-inc")


def saved(store: FileStore, name: str = "ops") -> Webhook:
    webhook = read_webhook(store, project_path("acme"), name)
    assert webhook is not None
    return webhook


def give_up(client: fakeredis.FakeRedis, number: int, *, project: str = "acme", target: str) -> None:
    """A delivery that was given up."""
    ended = 1_795_000_000_000 + number
    delivery: dict[Any, Any] = {
        "id": f"d{number}",
        "message": f"evt_{number}",
        "target": target,
        "project": project,
        "kind": "byom.rate_limited",
        "tries": 5,
        "cause": "answered 500",
        "ended": ended,
    }
    client.hset(f"{PREFIX}delivery:d{number}", mapping=delivery)
    client.zadd(f"{PREFIX}failed", {f"d{number}": ended})


def test_a_webhook_is_added_listed_and_removed(byom: Byom, store: FileStore) -> None:
    added = byom("webhook", "add", "ops", *ACME, "--url", URL, "--kind", "job.*", "--kind", "byom.rate_limited")
    listed = byom("webhook", "list", *ACME, "--json")
    table = byom("webhook", "list")
    removed = byom("webhook", "remove", "ops", *ACME, "--yes")

    assert [result.exit_code for result in (added, listed, table, removed)] == [0, 0, 0, 0]
    [document] = json.loads(listed.stdout)
    assert (document["project"], document["webhook"], document["of"]) == ("acme", "ops", "project acme")
    assert (document["url"], document["kinds"]) == ("https://hooks.example.com/byom", ["job.*", "byom.rate_limited"])
    assert (document["enabled"], document["gone"], document["waiting"]) == (True, None, 0)
    assert "hooks.example.com" in table.stdout
    assert read_webhook(store, project_path("acme"), "ops") is None
    assert byom("webhook", "list").exit_code == 0


def test_an_accounts_webhook_is_shown_with_each_of_its_projects(byom: Byom) -> None:
    byom("webhook", "add", "all", "--account", "acme-inc", "--url", "https://hooks.example.com/x")

    [of_project] = json.loads(byom("webhook", "list", *ACME, "--json").stdout)
    [of_account] = json.loads(byom("webhook", "list", "--account", "acme-inc", "--json").stdout)
    assert of_project["of"] == of_account["of"] == "account acme-inc"


REFUSED = {
    "no scope": ("add", "ops", "--url", "https://hooks.example.com"),
    "two scopes": ("add", "ops", *ACME, "--account", "a", "--url", "https://hooks.example.com"),
    "a private address": ("add", "ops", *ACME, "--url", "https://10.0.0.7/x"),
    "this machine": ("add", "ops", *ACME, "--url", "http://127.0.0.1:8000/x"),
    "no TLS": ("add", "ops", *ACME, "--url", "http://hooks.example.com/x"),
    "a password in the address": ("add", "ops", *ACME, "--url", "https://me:hidden@hooks.example.com/x"),
    "an unknown kind": ("add", "ops", *ACME, "--url", "https://hooks.example.com", "--kind", "job.done"),
    "the reserved name": ("add", "callback", *ACME, "--url", "https://hooks.example.com"),
    "a name that is none": ("add", "../ops", *ACME, "--url", "https://hooks.example.com"),
    "what is not there": ("rotate", "ops", *ACME),
    "a secret that is not there": ("secret", "ops", *ACME),
    "testing callbacks": ("test", "callback", *ACME),
    "neither one nor all": ("redeliver", *ACME),
    "one and all": ("redeliver", "evt_1", "--all"),
    "removing unasked": ("remove", "ops", *ACME, "--json"),
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_saved(
    byom: Byom, store: FileStore, arguments: tuple[str, ...]
) -> None:
    before = list(store.list("/byom"))
    result = byom("webhook", *arguments)

    assert result.exit_code == 2
    assert "hidden" not in result.output
    assert list(store.list("/byom")) == before


def test_the_secret_of_callbacks_is_made_when_it_is_first_asked_for_and_then_stays(
    byom: Byom, store: FileStore
) -> None:
    first, second = byom("webhook", "secret", *ACME), byom("webhook", "secret", *ACME, "--json")

    assert first.stdout.strip() == json.loads(second.stdout)["secret"]
    assert [first.stdout.strip()] == [
        secret.get_secret_value() for secret in signing_secrets(store, saved(store, "callback"), now=START)
    ]


def test_a_secret_is_shown_by_the_command_that_is_for_it_and_by_no_other(
    byom: Byom, store: FileStore, client: fakeredis.FakeRedis
) -> None:
    results = [byom("webhook", "add", "ops", *ACME, "--url", URL, *flag) for flag in ((), ("--json",))]
    results += [byom("webhook", "rotate", "ops", *ACME, *flag) for flag in ((), ("--json",))]
    give_up(client, 1, target=saved(store).path)
    for command in ("list", "failed"):
        results += [byom("webhook", command, *ACME, *flag) for flag in ((), ("--json",))]
    results += [byom("webhook", command, "ops", *ACME) for command in ("disable", "enable")]
    shown = byom("webhook", "secret", "ops", *ACME).stdout.strip()
    results += [byom("webhook", "redeliver", "--all"), byom("webhook", "remove", "ops", *ACME, "--yes")]

    assert {result.exit_code for result in results} == {0}
    assert shown.startswith("whsec_")
    for result in results:
        assert "whsec_" not in result.output
        assert shown.removeprefix("whsec_") not in result.output
        assert "canary-token" not in result.output


def test_rotating_keeps_the_old_secret_for_the_overlap(byom: Byom, store: FileStore) -> None:
    byom("webhook", "add", "ops", *ACME, "--url", URL)
    old = byom("webhook", "secret", "ops", *ACME).stdout
    kept = byom("webhook", "rotate", "ops", *ACME, "--overlap", "7d")
    assert "signs too until" in kept.stdout
    assert len(saved(store).secrets) == 2
    assert byom("webhook", "secret", "ops", *ACME).stdout != old

    byom("webhook", "rotate", "ops", *ACME, "--overlap", "0m")
    assert list(saved(store).secrets) == [3]


def test_a_webhook_is_switched_off_and_on_also_one_that_was_gone(
    byom: Byom, store: FileStore, client: fakeredis.FakeRedis
) -> None:
    byom("webhook", "add", "ops", *ACME, "--url", URL)
    byom("webhook", "disable", "ops", *ACME)
    assert not saved(store).enabled

    client.hset(f"{PREFIX}gone", saved(store).path, "answered 410")
    assert json.loads(byom("webhook", "list", *ACME, "--json").stdout)[0]["gone"] == "answered 410"
    byom("webhook", "enable", "ops", *ACME)
    assert saved(store).enabled
    assert not client.hlen(f"{PREFIX}gone")


def test_what_was_given_up_is_shown_and_goes_out_again(
    byom: Byom, store: FileStore, client: fakeredis.FakeRedis
) -> None:
    byom("webhook", "add", "ops", *ACME, "--url", URL)
    for number, project, target in (
        (1, "acme", saved(store).path),
        (2, "acme", "callback acme https://pipeline.example.com"),
        (3, "globex", "callback globex https://other.example.com"),
    ):
        give_up(client, number, project=project, target=target)

    lines = [json.loads(line) for line in byom("webhook", "failed", *ACME, "--json").stdout.splitlines()]
    assert [(line["id"], line["to"], line["cause"]) for line in lines] == [
        ("evt_1", "webhook ops", "answered 500"),
        ("evt_2", "callback https://pipeline.example.com", "answered 500"),
    ]
    assert "answered 500" in byom("webhook", "failed").stdout

    assert json.loads(byom("webhook", "redeliver", "evt_2", *ACME, "--json").stdout) == {"redelivered": 1}
    assert client.zcard(f"{PREFIX}queue:callback acme https://pipeline.example.com") == 1
    assert byom("webhook", "redeliver", "evt_2", *ACME).exit_code == 1
    assert json.loads(byom("webhook", "redeliver", "--all", *ACME, "--json").stdout) == {"redelivered": 1}
    assert [json.loads(line)["id"] for line in byom("webhook", "failed", "--json").stdout.splitlines()] == ["evt_3"]


@pytest.fixture
def taker() -> Iterator[Any]:
    with listening() as server:
        yield server


def test_a_trial_is_posted_at_once_and_its_outcome_told(
    byom: Byom, taker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_ALLOW_PRIVATE_ENDPOINTS", "true")
    byom("webhook", "add", "ops", *ACME, "--url", f"http://127.0.0.1:{taker.server_port}/x")
    secret = byom("webhook", "secret", "ops", *ACME).stdout.strip()

    good = byom("webhook", "test", "ops", *ACME, "--json")
    taker.status = 500
    bad = byom("webhook", "test", "ops", *ACME)

    headers, body = taker.got[0]
    assert standardwebhooks.Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    assert json.loads(good.stdout) == {
        "webhook": "ops",
        "id": headers["webhook-id"],
        "delivered": True,
        "status": 204,
        "problem": None,
    }
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "answered 500" in bad.stderr
