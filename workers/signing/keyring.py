"""Producers and their keys, as workers know them."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr

from config.errors import InvalidProducer, StoreError
from config.producers import PRODUCERS, SigningProducer, list_producers, read_keys
from config.store import ParameterStore
from workers.clock import Clock


@dataclass(slots=True)
class _Read:
    """What was read at one time."""

    at: float
    producers: dict[str, SigningProducer]
    keys: dict[str, list[SecretStr]] = field(default_factory=dict)


class Keyring:
    """Reads producers and keys, and trusts what it read until a notice of a change comes, and for seconds at most.

    All producers are read together, so that names which nobody has cost the store nothing, however many are tried.
    Safe for threads.
    """

    def __init__(self, store: ParameterStore, *, clock: Clock, ttl: float) -> None:
        """`ttl` bounds how long a read is trusted, in seconds."""
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._lock = threading.Lock()
        self._read: _Read | None = None

    def find(self, name: str, *, now: datetime) -> tuple[SigningProducer, list[SecretStr]] | None:
        """A producer with the keys of it that count now, or None.

        Raises:
            StoreError: the store cannot be read, or a producer is stored damaged.
        """
        with self._lock:
            read = self._fresh()
            producer = read.producers.get(name)
            if producer is None:
                return None
            keys = read.keys.get(name)
            if keys is None:
                keys = read.keys[name] = read_keys(self._store, producer, now=now)
            return producer, keys

    def drop(self, scope: str | None = None) -> None:
        """Forget what was read, if what has changed may be a producer; without a scope nobody knows what has."""
        if scope is None or scope.startswith(f"{PRODUCERS}/") or PRODUCERS.startswith(f"{scope}/"):
            # Not under the lock: the event loop must not wait for the store. A read that is under way is let go of.
            self._read = None

    def _fresh(self) -> _Read:
        now = self._clock.monotonic()
        read = self._read
        if read is None or now - read.at > self._ttl:
            try:
                read = _Read(now, {producer.name: producer for producer in list_producers(self._store)})
            except InvalidProducer as error:
                # Nothing is wrong with the jobs: they wait until somebody mends it.
                raise StoreError(str(error)) from None
            self._read = read
        return read
