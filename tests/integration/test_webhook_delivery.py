"""Deliveries by real processes on a real Valkey: none is lost with a process that is killed while it sends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import standardwebhooks

from config.connections import project_path, save_project
from config.store import FileStore
from config.webhooks import save_webhook, signing_secrets
from tasks.contract.events import Event, EventKind, Happening
from tests.integration.support.pool import wait_until
from tests.posted import Taker, listening
from tests.support import START
from workers.clock import SystemClock
from workers.embedded.valkey import EmbeddedValkey
from workers.notify import Events, Outbox, Subscriptions
from workers.notify.deliverer import delivery_id

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


class _Killer(Taker):
    """Kills who posts before it can note that it did, as often as its server says; takes the next one."""

    def answer(self) -> None:
        if self.server.victims:
            os.kill(self.server.victims.pop(), signal.SIGKILL)
        else:
            super().answer()


@pytest.fixture
def receiver() -> Iterator[Any]:
    with listening(_Killer) as server:
        server.victims = []
        yield server


async def test_a_process_killed_between_sending_and_noting_leaves_it_to_another(
    valkey: EmbeddedValkey, valkey_client: redis.Redis, receiver: Any, tmp_path: Path
) -> None:
    store = FileStore(tmp_path / "store.json")
    save_project(store, "acme")
    address = f"http://127.0.0.1:{receiver.server_port}/hook"
    webhook = save_webhook(store, project_path("acme"), "ops", url=address, kinds=("*",), now=START)
    [secret] = signing_secrets(store, webhook, now=START)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BYOM_")},
        "BYOM_BROKER_URL": valkey.url,
        "BYOM_STORE_URL": f"file:{tmp_path / 'store.json'}",
        "BYOM_ALLOW_PRIVATE_ENDPOINTS": "true",
    }

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.support.deliverer"]
        return subprocess.Popen(command, cwd=ROOT, env=environment)

    victim = start()
    receiver.victims.append(victim.pid)
    event = Event(
        id="evt_1",
        type=EventKind.BREAKER_OPENED,
        timestamp=START,
        data=Happening(message="It keeps failing.", project="acme"),
    )
    clock = SystemClock()
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        outbox, subscriptions = Outbox(client), Subscriptions(store, clock=clock, ttl=2)
        await Events(client, outbox=outbox, subscriptions=subscriptions, clock=clock).emit(event)
    assert victim.wait(timeout=30) == -signal.SIGKILL

    heir = start()
    try:
        # Its lease lapses in half a minute; a test does not wait for that.
        delivery = delivery_id("evt_1", webhook.path)
        for key in (f"byom:outbox:queue:{webhook.path}", f"byom:outbox:held:{webhook.path}"):
            assert valkey_client.zadd(key, {delivery: 1}, xx=True, ch=True) == 1
        valkey_client.zadd("byom:outbox:targets", {webhook.path: 1})
        wait_until(lambda: valkey_client.hget(f"byom:outbox:delivery:{delivery}", "state") == b"delivered")
    finally:
        heir.kill()
        heir.wait()

    assert len(receiver.got) == 2
    for headers, body in receiver.got:
        assert headers["webhook-id"] == "evt_1"
        assert standardwebhooks.Webhook(secret.get_secret_value()).verify(body, headers)["id"] == "evt_1"
