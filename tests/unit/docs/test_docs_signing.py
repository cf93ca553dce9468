"""docs/signing.md against the code: its snippet runs on a real broker, and what it sends passes."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import redis
from pydantic import SecretStr

from config.producers import read_keys, save_producer
from config.store import MemoryStore
from tests.unit.signing.conftest import make_guard, message
from workers.clock import SystemClock
from workers.embedded.valkey import EmbeddedValkey
from workers.signing import SIGNATURE, Noted, Outcome
from workers.signing.statement import signature, statement

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "signing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_every_snippet_is_of_a_kind_that_is_tested_here_or_with_the_commands() -> None:
    assert [(language, label) for language, label, _ in BLOCKS] == [("sh", ""), ("python", ""), ("json", "vector")]


def test_the_snippet_sends_what_workers_take(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    [code] = [code for language, _, code in BLOCKS if language == "python"]
    store, clock, noted = MemoryStore(), SystemClock(), list[Noted]()
    [key] = read_keys(store, save_producer(store, "crm", projects=["acme"], now=clock.now()), now=clock.now())
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            "BYOM_BROKER_URL": valkey.url,
            "BYOM_PRODUCER_NAME": "crm",
            "BYOM_PRODUCER_KEY": key.get_secret_value(),
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

    sent = json.loads(valkey_client.rpop("byom.extract"))  # type: ignore[arg-type]  # the stubs know of lists and awaitables
    [[job], _, _] = json.loads(base64.b64decode(sent["body"]))
    request = message({SIGNATURE: sent["headers"][SIGNATURE]}, job_id=sent["headers"]["id"])
    guard = make_guard(store, clock, noted)
    guard.check(request, job, project="acme", entering=True)

    assert done.stdout.strip() == sent["headers"]["id"]
    assert [one.outcome for one in noted] == [Outcome.VALID]


def test_the_vector_is_what_workers_compute() -> None:
    [vector] = [json.loads(text) for _, label, text in BLOCKS if label == "vector"]

    text = statement(task=vector["task"], producer=vector["producer"], payload=vector["payload"])

    assert text == vector["statement"]
    made = signature(SecretStr(vector["key"]), job_id=vector["id"], timestamp=vector["timestamp"], text=text)
    assert made == vector["signature"]
