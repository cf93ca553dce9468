"""Whether a job may be taken: signed by a producer that may speak for its project."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from config.producers import POOL, SigningProducer
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import EXTRACT_TASK, FailureCode, JobRefused
from workers.clock import Clock
from workers.configuration.directory import SECRETS_KEPT
from workers.lanes.header import HEADER
from workers.signing.keyring import Keyring
from workers.signing.outcome import Noted, Outcome, refusal
from workers.signing.statement import SIGNATURE, CannotSign, Signed, is_signed, statement

#: Seconds that the clock of a producer may be ahead of the broker's.
_AHEAD: Final = 300

#: Where Celery's request keeps what is to follow a task.
_SEQUELS: Final = ("callbacks", "errbacks", "chain", "chord")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a message says, before anything of it is known to be true."""

    told: object
    request: Any
    payload: Mapping[str, Any]
    project: str
    task: str
    entering: bool
    replays: int


class Guard:
    """Looks at signatures. Safe for threads, and may block: it reads the store."""

    looks_at_all: Final = True

    def __init__(
        self,
        keyring: Keyring,
        *,
        required: bool,
        window: float,
        clock: Clock,
        noted: Callable[[Noted], None],
    ) -> None:
        """Take what it needs.

        Args:
            keyring: knows the producers.
            required: whether a message without a signature is refused.
            window: seconds that a signature counts on the entry queue.
            clock: the broker's, so that all workers agree how old a signature is.
            noted: hears what came of each message.
        """
        self._keyring = keyring
        self._required = required
        self._window = window
        self._clock = clock
        self._noted = noted

    def check(
        self,
        request: Any,
        payload: Mapping[str, Any],
        *,
        project: str,
        task: str = EXTRACT_TASK,
        entering: bool = False,
        replays: int = 0,
    ) -> None:
        """Let a job pass, or refuse it; nothing that a refused message asks for is done in its name.

        Args:
            request: Celery's, of the task in hand.
            payload: the job as it came.
            project: whose it is.
            task: the task of the contract that the payload is the argument of.
            entering: whether it comes from outside, so that it may be the copy of a job that is over and forgotten.
                One on its way through the lanes waits there as long as it takes.
            replays: how often the message says that the job was sent anew.

        Raises:
            JobRefused: typed.
            StoreError: the producers cannot be read; nothing is wrong with the job.
        """
        told = getattr(request, SIGNATURE, None)
        if told is None and not self._required:
            self._noted(Noted(outcome=Outcome.UNSIGNED))
            return
        claim = _Claim(
            told=told,
            request=request,
            payload=payload,
            project=project,
            task=task,
            entering=entering,
            replays=replays,
        )
        outcome, producer = (Outcome.MISSING, None) if told is None else self._look(claim)
        if outcome is not Outcome.VALID:
            self._refuse(claim, outcome, producer)
        self._noted(Noted(outcome=outcome, producer=producer))

    def drop(self, scope: str | None = None) -> None:
        """Forget what was read of producers, if what has changed may be one; without a scope nobody knows what has."""
        self._keyring.drop(scope)

    def _look(self, claim: _Claim) -> tuple[Outcome, str | None]:
        """What is to be said of a signature, and the producer that it names if there is one."""
        signed = Signed.of(claim.told)
        if signed is None:
            return Outcome.UNREADABLE, None
        now = self._clock.now()
        found = self._keyring.find(signed.producer, now=now)
        if found is None:
            return Outcome.UNKNOWN_PRODUCER, None
        producer, keys = found
        name = producer.name
        try:
            text = statement(task=claim.task, producer=name, payload=claim.payload, replays=claim.replays)
            known = is_signed(signed, keys, job_id=str(claim.request.id), text=text)
        except CannotSign:
            return Outcome.UNREADABLE, name
        if not known:
            return Outcome.WRONG, name
        return self._allowed(claim, producer, age=now.timestamp() - signed.timestamp), name

    def _allowed(self, claim: _Claim, producer: SigningProducer, *, age: float) -> Outcome:
        """Whether who speaks, which is known now, may say this."""
        if producer.name == POOL:
            return Outcome.VALID
        if not producer.speaks_for(claim.project):
            return Outcome.OTHER_PROJECT
        if claim.replays:
            # Only the pool runs again what is over.
            return Outcome.WRONG
        if claim.entering and not -_AHEAD <= age <= self._window:
            return Outcome.OUT_OF_TIME
        if any(_mentions(getattr(claim.request, part, None), HEADER) for part in _SEQUELS):
            return Outcome.CLAIMS_LANE
        return Outcome.VALID

    def _refuse(self, claim: _Claim, outcome: Outcome, producer: str | None) -> NoReturn:
        # Workers send what is to follow in their own name, which is not to be had by whoever is not known.
        for part in (*_SEQUELS, "group"):
            setattr(claim.request, part, None)
        message = refusal(outcome, producer=producer, project=claim.project, seconds=self._window)
        self._noted(Noted(outcome=outcome, producer=producer, message=message))
        raise JobRefused(message, {"code": FailureCode.SIGNATURE_REFUSED.value, "project": claim.project})


class NoGuard:
    """Lets everything pass."""

    looks_at_all: Final = False

    def check(self, request: Any, payload: Mapping[str, Any], **_: Any) -> None:
        """Let a job pass."""

    def drop(self, scope: str | None = None) -> None:
        """There is nothing to forget."""


def open_guard(
    settings: Settings, store: ParameterStore, *, clock: Clock, noted: Callable[[Noted], None]
) -> Guard | NoGuard:
    """The guard of a worker."""
    if settings.signed_jobs == "off":
        return NoGuard()
    return Guard(
        Keyring(store, clock=clock, ttl=min(settings.config_cache_ttl, SECRETS_KEPT)),
        required=settings.signed_jobs == "required",
        # As long as the pool remembers a job by its id: a copy that comes later would run again.
        window=settings.job_state_ttl,
        clock=clock,
        noted=noted,
    )


def _mentions(told: object, name: str) -> bool:
    """Whether there is a key of a name anywhere in what a message says."""
    rest = [told]
    while rest:
        match rest.pop():
            case dict() as found:
                if name in found:
                    return True
                rest.extend(found.values())
            case list() | tuple() as found:
                rest.extend(found)
    return False
