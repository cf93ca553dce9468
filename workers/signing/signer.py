"""Signing the jobs that this process sends."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import SecretStr

from config.errors import StoreError
from config.producers import POOL, read_keys, read_producer
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import EXTRACT_TASK, FailureCode, JobRefused
from workers.clock import Clock, SystemClock
from workers.signing.statement import SIGNATURE, CannotSign, signature, statement

#: Seconds that the pool's key is kept in memory.
_KEPT: Final = 30.0


class Signer:
    """Signs in the name of one producer. Safe for threads."""

    def __init__(self, name: str, key: Callable[[], SecretStr], *, clock: Clock) -> None:
        """Take the name, what answers with the key, and the clock that signatures are dated by."""
        self._name = name
        self._key = key
        self._clock = clock

    def header(
        self, payload: Mapping[str, Any], *, job_id: str, task: str = EXTRACT_TASK, replays: int = 0
    ) -> dict[str, Any]:
        """The header of a message.

        Args:
            payload: the job as the worker will see it: plain JSON.
            job_id: its id.
            task: the task of the contract that it is the argument of.
            replays: how often the job was sent anew after it had ended.

        Raises:
            JobRefused: it cannot be signed.
            ConfigError: the key is not there, or cannot be read.
        """
        timestamp = int(self._clock.now().timestamp())
        try:
            text = statement(task=task, producer=self._name, payload=payload, replays=replays)
            signed = signature(self._key(), job_id=job_id, timestamp=timestamp, text=text)
        except CannotSign as error:
            problem = str(error)
        else:
            return {SIGNATURE: {"producer": self._name, "timestamp": timestamp, "signature": signed}}
        raise JobRefused(
            f"The job was refused: it cannot be signed, for {problem}. Send such content as text.",
            {"code": FailureCode.INVALID_JOB.value, "problems": [problem]},
        )


def open_signer(settings: Settings, store: ParameterStore, *, clock: Clock | None = None) -> Signer | None:
    """What signs the jobs of this process; None where nobody asks for signatures.

    In the name that the settings give; without one in that of the pool, whose key only those can read who may read all
    of the store.
    """
    if settings.producer_name is not None and settings.producer_key is not None:
        key = settings.producer_key
        return Signer(settings.producer_name, lambda: key, clock=clock or SystemClock())
    return pool_signer(settings, store, clock=clock)


def pool_signer(settings: Settings, store: ParameterStore, *, clock: Clock | None = None) -> Signer | None:
    """What signs in the name of the pool itself, whatever producer the settings name; None as above."""
    if settings.signed_jobs == "off":
        return None
    clock = clock or SystemClock()
    return Signer(POOL, _PoolKey(store, clock), clock=clock)


class _PoolKey:
    """The pool's own key, read when it is needed."""

    def __init__(self, store: ParameterStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: tuple[float, SecretStr] | None = None

    def __call__(self) -> SecretStr:
        now = self._clock.monotonic()
        known = self._known
        if known is None or now - known[0] > _KEPT:
            known = self._known = (now, self._read())
        return known[1]

    def _read(self) -> SecretStr:
        producer = read_producer(self._store, POOL)
        keys = [] if producer is None else read_keys(self._store, producer, now=self._clock.now())
        if not keys:
            raise StoreError(
                "jobs are to be signed (BYOM_SIGNED_JOBS), and the pool has no key of its own yet: it is made with the "
                "first producer (byom producer add). Where only another producer's key is at hand, set "
                "BYOM_PRODUCER_NAME and BYOM_PRODUCER_KEY"
            )
        return keys[0]
