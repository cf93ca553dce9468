"""What a pool leaves behind in its broker when its worker is killed, as a file.

Run `python -m tests.integration.support.freezing FILE` with the code of a release, and keep the file:
tests/fixtures/broker holds one for each, and today's workers must be able to go on with every one of them.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK
from tests.integration.support.pool import Pool, job, running_pool, wait_until
from workers.embedded.simulator import FaultRule, Injection
from workers.enqueue.producer import Producer
from workers.jobs.redis import job_key

#: Stands for the folder in which a pool lives.
FOLDER: Final = "@FOLDER@"
#: What makes a call hang, and what makes one fail, where an episode says so.
HELD, DOOMED = "is held up", "is refused"
#: Lines of the backfill, of which the later half is held up, and its file's time of change.
LINES, CHANGED_NS = 12, 1_790_000_000_000_000_000
#: Seconds that jobs may wait in their lanes.
_PATIENCE: Final = 3_600
#: Milliseconds that a key must have to live to be there when somebody goes on.
_LIVES: Final = 60_000
_WIDE: Final[dict[str, Any]] = {"tpm_capacity": 100_000_000, "tpm_refill_per_second": 1_000_000}


def add_projects(pool: Pool) -> None:
    """One for each thing that can be left behind."""
    for project in ("plain", "halfway", "unlucky", "archive"):
        pool.add_project(project, secret=f"sk-{project}", **_WIDE)
    pool.add_project("narrow", secret="sk-narrow", max_concurrency=1, **_WIDE)
    anthropic: dict[str, Any] = {"provider": "anthropic", "model": "claude-haiku-5-5"}
    base_url = pool.simulator.base_urls["anthropic"]
    pool.add_project("patient", secret="sk-patient", base_url=base_url, **anthropic, **_WIDE)


def write_archive(folder: Path) -> Path:
    """The file of the backfill, the same each time."""
    file = folder / "archive.jsonl"
    lines = [
        {"id": f"e{number}", "content": f"Ada moved on day {number}{f' and {HELD}' if number > LINES // 2 else ''}."}
        for number in range(1, LINES + 1)
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    os.utime(file, ns=(CHANGED_NS, CHANGED_NS))
    return file


def freeze(folder: Path) -> dict[str, Any]:
    """Play the scene, kill the worker, and take down all that is left."""
    with running_pool(folder) as pool, redis.Redis.from_url(pool.valkey.url) as client:
        add_projects(pool)
        pool.max_wait = _PATIENCE
        pool.extra |= {
            "BYOM_CONCURRENCY": "30",
            "BYOM_VISIBILITY_TIMEOUT": "600",
            "BYOM_ECONOMY_GATHER": "3600",
            "BYOM_BACKFILL_SLICE": "1",
        }
        worker = pool.start_worker()
        pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=400, text=DOOMED))
        pool.simulator.add_fault(FaultRule(kind=Injection.HANG, text=HELD))
        with pool.producer() as producer:
            names = _leave_behind(pool, producer, client, folder)
            worker.kill()
            worker.wait()
            # Nobody has met these.
            names["unfetched"] = producer.enqueue(job("Eve lives in Rome.", project="plain")).id
            names["foreign"] = _send_foreign(pool)
        return {"jobs": names, "files": {"out.jsonl": (folder / "out.jsonl").read_text("utf-8")}, "keys": taken(client)}


def _leave_behind(pool: Pool, producer: Producer, client: redis.Redis, folder: Path) -> dict[str, str]:
    done = producer.enqueue(job("Ada lives in Lisbon.", project="plain", idempotency_key="ada"))
    done.result(timeout=60)
    failed = producer.enqueue(job(f"Ada {DOOMED}.", project="unlucky", labels={"team": "search"}))
    wait_until(lambda: client.zcard("byom:dead:all") == 1)
    episodes = [{"id": "e1", "content": "Bea lives in Porto."}, {"id": "e2", "content": f"Bea {HELD}."}]
    half = producer.enqueue({"project": "halfway", "episodes": episodes})
    narrow = [producer.enqueue(job(f"Ada {HELD} at {number}.", project="narrow")).id for number in range(2)]
    economy = producer.enqueue(job("Ada moved to Faro.", project="patient", economy=True, priority="backfill"))
    out = folder / "out.jsonl"
    begun = pool.byom(
        "backfill", "run", str(write_archive(folder)), "--project", "archive", "--out", str(out), "--on-cluster"
    )
    assert begun.returncode == 0, begun.stderr
    wait_until(lambda: out.exists() and len(out.read_bytes().splitlines()) == LINES // 2)
    wait_until(lambda: "unit:" in str(client.hkeys(job_key(half.id))))
    wait_until(lambda: client.exists(f"byom:economy:job:{economy.id}"))
    # Each that is held up has called.
    held = 2 + LINES // 2
    wait_until(lambda: sum(entry.fault == "hang" for entry in pool.simulator.books().entries) == held)
    names = {"done": done.id, "failed": failed.id, "half": half.id, "economy": economy.id}
    return names | {f"narrow-{number}": name for number, name in enumerate(narrow)}


def _send_foreign(pool: Pool) -> str:
    with Celery(broker=pool.settings.redis_url, set_as_current=False) as foreign:
        payload = {"project": "plain", "episodes": [{"id": "e1", "content": "Max lives in Bonn."}]}
        return str(
            foreign.send_task(
                EXTRACT_TASK, args=[payload], queue=ENTRY_QUEUE, argsrepr="(…)", kwargsrepr="{}", retry=False
            ).id
        )


def text(value: bytes) -> str:
    """Bytes as the characters of the same numbers."""
    return value.decode("latin-1")


def taken(client: Any) -> dict[str, Any]:
    """All keys, as they are."""
    readers: dict[bytes, Any] = {
        b"string": lambda key: text(client.get(key) or b""),
        b"hash": lambda key: {text(name): text(value) for name, value in client.hgetall(key).items()},
        b"list": lambda key: [text(value) for value in client.lrange(key, 0, -1)],
        b"set": lambda key: sorted(text(value) for value in client.smembers(key)),
        b"zset": lambda key: [[text(value), score] for value, score in client.zrange(key, 0, -1, withscores=True)],
        b"stream": lambda key: [
            [text(name), {text(field): text(value) for field, value in fields.items()}]
            for name, fields in client.xrange(key)
        ],
    }

    found: dict[str, Any] = {}
    for key in sorted(client.scan_iter(count=1_000)):
        kind: Any = client.type(key)
        lives = client.pttl(key)
        if 0 < lives < _LIVES or kind not in readers or text(key).startswith(("_kombu", "celeryev")):
            continue
        found[text(key)] = {"type": kind.decode(), "value": readers[kind](key), "ttl": None if lives < 0 else lives}
    return found


def put_back(client: Any, keys: dict[str, Any], folder: Path) -> None:
    """All keys as they were, for a pool that lives in another folder; their time to live begins anew."""

    def raw(value: str) -> bytes:
        return value.replace(FOLDER, str(folder)).encode("latin-1")

    writers: dict[str, Callable[[bytes, Any], object]] = {
        "string": lambda key, value: client.set(key, raw(value)),
        "hash": lambda key, value: client.hset(key, mapping={raw(field): raw(text) for field, text in value.items()}),
        "list": lambda key, value: client.rpush(key, *map(raw, value)),
        "set": lambda key, value: client.sadd(key, *map(raw, value)),
        "zset": lambda key, value: client.zadd(key, {raw(member): score for member, score in value}),
        "stream": lambda key, value: [
            client.xadd(key, {raw(field): raw(text) for field, text in fields.items()}, id=entry)
            for entry, fields in value
        ],
    }
    for name, one in keys.items():
        value = one["value"]
        if name.startswith("byom:lanes:deadlines:"):
            # Nobody has waited for as long as the file is old.
            value = [[member, time.time() + _PATIENCE] for member, _ in value]
        writers[one["type"]](raw(name), value)
        if one["ttl"] is not None:
            client.pexpire(raw(name), one["ttl"])


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as place:
        document = json.dumps(freeze(Path(place)), indent=1, sort_keys=True)
    Path(sys.argv[1]).write_text(document.replace(place, FOLDER) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
