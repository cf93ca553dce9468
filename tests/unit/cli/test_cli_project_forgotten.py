"""`byom project remove` on Valkey: what the broker forgets, and what a later project of the same name meets."""

import json
from pathlib import Path
from typing import cast

import pytest
import redis
import yaml

from config.connections import effective_chain
from config.store import FileStore
from tasks.contract import parse_job
from tests.unit.cli.conftest import Byom
from workers.admission.keys import keys_of, spend_key
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.intake import job_key
from workers.lanes.control import Lanes
from workers.lanes.keys import PAUSED, WEIGHTS
from workers.notify.outbox import PREFIX, OutboxReader

pytestmark = pytest.mark.integration

#: Names that begin alike.
PROJECTS = ("acme", "acme-two", "acm")


@pytest.fixture(autouse=True)
def broker(valkey: EmbeddedValkey, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)


def add(byom: Byom, project: str) -> None:
    added = byom(
        *("connection", "add", "-p", project, "--provider", "openai", "--model", "gpt-6-luna"),
        *("--key-env", "MY_KEY", "--no-verify"),
    )
    assert added.exit_code == 0, added.stderr


def idempotency_key(project: str, key: str = "k*1") -> str:
    return job_key(
        parse_job({"project": project, "episodes": [{"id": "e", "content": "said"}], "idempotency_key": key})
    )


def use(client: redis.Redis, store: FileStore, project: str) -> None:
    """Everything that can be left behind."""
    Lanes(client).pause(project=project)
    Lanes(client).pause(project=project, priority="live", queue="extract.openai")
    Lanes(client).weight(project, 3)
    for key in ("a", "b"):
        client.set(idempotency_key(project, key), "job")
    for target in (f"/byom/projects/{project}/webhooks/hook", f"callback {project} https://x"):
        client.hset(f"{PREFIX}gone", target, "answered 410")
    [primary] = effective_chain(store, project)
    client.hset(keys_of(primary).state, mapping={"holds": "credential 99999999999 credential_rejected\n"})
    client.set(spend_key(primary.tenant, project, None, "d20261126"), "7")


def left(client: redis.Redis, store: FileStore, project: str) -> dict[str, object]:
    [primary] = effective_chain(store, project)
    receivers = OutboxReader(client)
    pauses = cast("list[bytes]", client.hkeys(PAUSED))
    return {
        "pauses": sum(field.startswith(f"{project}\t".encode()) for field in pauses),
        "weight": client.hexists(WEIGHTS, project),
        "keys": client.exists(idempotency_key(project, "a"), idempotency_key(project, "b")),
        "webhook": receivers.gone(f"/byom/projects/{project}/webhooks/hook"),
        "callback": receivers.gone(f"callback {project} https://x"),
        "held": bool(client.hget(keys_of(primary).state, "holds")),
        "spent": client.get(spend_key(primary.tenant, project, None, "d20261126")),
    }


@pytest.mark.usefixtures("key")
def test_a_later_project_of_the_same_name_meets_nothing_but_what_was_spent(
    byom: Byom, store: FileStore, valkey_client: redis.Redis
) -> None:
    for project in PROJECTS:
        add(byom, project)
        use(valkey_client, store, project)
    others = {project: left(valkey_client, store, project) for project in PROJECTS[1:]}

    removed = byom("project", "remove", "-p", "acme", "--yes", "--json")
    add(byom, "acme")

    assert json.loads(removed.stdout)["forgotten"] == {"pauses": 3, "idempotency_keys": 2, "receivers": 2}
    nothing = {"pauses": 0, "weight": False, "keys": 0, "webhook": None, "callback": None, "held": False}
    assert left(valkey_client, store, "acme") == {**nothing, "spent": b"7"}
    assert {project: left(valkey_client, store, project) for project in PROJECTS[1:]} == others


@pytest.mark.usefixtures("key")
def test_a_project_that_a_file_leaves_out_is_forgotten_too_once_nothing_of_it_is_left(
    byom: Byom, home: Path, store: FileStore, valkey_client: redis.Redis
) -> None:
    for project in PROJECTS:
        add(byom, project)
        use(valkey_client, store, project)
    file = home / "byom.yaml"
    document = yaml.safe_load(byom("config", "export").stdout)
    del document["projects"]["acme"]
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    others = {project: left(valkey_client, store, project) for project in PROJECTS[1:]}

    dry = byom("config", "apply", str(file), "--prune", "--dry-run", "--no-verify")
    assert left(valkey_client, store, "acme")["pauses"] == 3
    applied = byom("config", "apply", str(file), "--prune", "--no-verify")
    add(byom, "acme")

    assert "Forgotten" not in dry.stdout
    assert "Forgotten with it: 3 pauses, 2 idempotency keys, 2 receivers." in applied.stdout
    assert left(valkey_client, store, "acme")["pauses"] == 0
    assert {project: left(valkey_client, store, project) for project in PROJECTS[1:]} == others


@pytest.mark.usefixtures("key")
def test_people_are_told_what_went_with_it(byom: Byom, store: FileStore, valkey_client: redis.Redis) -> None:
    add(byom, "acme")
    unused = byom("project", "remove", "-p", "acme", "--yes")
    add(byom, "acme")
    use(valkey_client, store, "acme")
    used = byom("project", "remove", "-p", "acme", "--yes")

    assert "Forgotten" not in unused.stdout
    assert "Forgotten with it: 3 pauses, 2 idempotency keys, 2 receivers." in used.stdout
