"""A store with two producers, and messages as a worker gets them."""

from types import SimpleNamespace
from typing import Any

import pytest

from config.producers import read_keys, read_producer, save_producer
from config.store import MemoryStore
from tests.support import START, ManualClock
from workers.clock import Clock
from workers.signing import SIGNATURE, Guard, Noted, Signer
from workers.signing.keyring import Keyring

JOB: dict[str, Any] = {"project": "acme", "episodes": [{"id": "e1", "content": "Ana moved to Porto."}]}
WINDOW = 3_600


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    save_producer(made, "crm", projects=["acme", "globex"], now=START)
    save_producer(made, "chat", projects=["initech"], now=START)
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def noted() -> list[Noted]:
    return []


@pytest.fixture
def guard(store: MemoryStore, clock: ManualClock, noted: list[Noted]) -> Guard:
    return make_guard(store, clock, noted)


def make_guard(
    store: MemoryStore,
    clock: Clock,
    noted: list[Noted],
    *,
    required: bool = True,
) -> Guard:
    keyring = Keyring(store, clock=clock, ttl=30)
    return Guard(keyring, required=required, window=WINDOW, clock=clock, noted=noted.append)


def signer(store: MemoryStore, name: str, clock: ManualClock) -> Signer:
    producer = read_producer(store, name)
    assert producer is not None
    [key, *_] = read_keys(store, producer, now=clock.now())
    return Signer(name, lambda: key, clock=clock)


def message(header: dict[str, Any] | None, *, job_id: str = "j1", sequels: dict[str, Any] | None = None) -> Any:
    """Celery's request, as far as it is looked at."""
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, "group": None}
    return SimpleNamespace(id=job_id, **{SIGNATURE: None} | (header or {}), **nothing | (sequels or {}))
