"""One unit of a job on one connection: call, check, decide, and try again in place where the table says so."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from config.credentials import Credential
from config.errors import CredentialMissing
from config.prices import price
from tasks.contract import AttemptRecord, ProviderKind
from workers import extraction
from workers.admission import Admission
from workers.clock import Clock
from workers.directory import Directory
from workers.jobs import JobStore
from workers.outcome import Action, Decision, decide
from workers.providers.base import Call, Fault, FaultKind, HoldsTokens, Prompt, Provider, Reply
from workers.providers.transport import Sent
from workers.trouble import Subject, Trouble

_log = structlog.get_logger(__name__)

#: First backoff and its bound, in seconds, when the vendor names no wait.
_BACKOFF = 0.5
_BACKOFF_MAX = 8.0

_RETRIES = frozenset(Action) - {Action.FALL_BACK}

#: Actions that call again with the very same request.
_WAITS = frozenset({Action.RETRY, Action.FALL_BACK})

#: Tries of one unit on one connection, whatever goes wrong with each.
_TRIES_IN_ALL = 6


class Sender(Protocol):
    """Sends calls; `workers.providers.transport.Transport` does."""

    async def send(self, provider: Provider, call: Call, *, timeout: float) -> Sent:  # noqa: ASYNC109 - bounds the I/O
        """Make one call within `timeout` seconds; what goes wrong is a fault, never an exception."""


@dataclass(slots=True, kw_only=True)
class _Work:
    """What changes between the tries of one unit."""

    subject: Subject
    unit: extraction.Unit
    prompt: Prompt
    credential: Credential | None
    #: Tries of this unit so far, those of earlier deliveries included.
    tries: int
    #: What went wrong in this delivery, and how often.
    met: Counter[FaultKind] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """What one try came to: memories, or a fault and what follows from it."""

    extracted: extraction.Extracted | None = None
    fault: Fault | None = None
    decision: Decision | None = None
    #: Whether to try again here.
    again: bool = False


class Attempts:
    """Makes attempts. One per process; everything it needs is given to it."""

    def __init__(
        self,
        *,
        directory: Directory,
        providers: Mapping[ProviderKind, Provider],
        transport: Sender,
        admission: Admission,
        jobs: JobStore,
        clock: Clock,
        call_timeout: float,
        patience: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`call_timeout` bounds one call, `patience` the longest wait in place before a retry; both in seconds."""
        self._directory = directory
        self._providers = providers
        self._transport = transport
        self._admission = admission
        self._jobs = jobs
        self._clock = clock
        self._call_timeout = call_timeout
        self._patience = patience
        self._sleep = sleep
        self._jitter = jitter

    async def make(
        self, subject: Subject, unit: extraction.Unit, records: list[AttemptRecord]
    ) -> extraction.Extracted | Trouble:
        """Try a unit on the subject's connection until it yields memories or the table says to stop.

        Args:
            subject: the job and the connection.
            unit: the part of the job.
            records: attempts of the job so far; each try is appended as it is settled.

        Raises:
            CredentialMissing: nothing was called.
        """
        prefix = f"{subject.route.hop}.{unit.index}."
        work = _Work(
            subject=subject,
            unit=unit,
            prompt=unit.prompt,
            credential=await self._directory.credential(subject.effective),
            tries=sum(record.attempt.startswith(prefix) for record in records),
        )
        done = await self._try(work, records)
        if done.again:
            done = await self._again(done, work, records)
        if done.extracted is not None:
            return done.extracted
        assert done.fault is not None and done.decision is not None  # noqa: S101, PT018 - the other half of _Try
        return Trouble.of_fault(done.fault, done.decision, subject)

    async def _again(self, first: _Try, work: _Work, records: list[AttemptRecord]) -> _Try:
        """Try again while the table says so; the first try is made already, so that a good one costs no retrying."""
        made = iter((first,))

        async def attempt() -> _Try:
            return next(made, None) or await self._try(work, records)

        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=self._wait,
            stop=stop_after_attempt(_TRIES_IN_ALL),
            retry=retry_if_result(lambda done: done.again),
            retry_error_callback=_outcome,
        )
        return await retrying(attempt)

    async def _try(self, work: _Work, records: list[AttemptRecord]) -> _Try:
        work.tries += 1
        subject, connection = work.subject, work.subject.effective.connection
        attempt = f"{subject.route.hop}.{work.unit.index}.{work.tries}"
        call = Call(
            prompt=work.prompt,
            connection=connection,
            credential=work.credential,
            model=subject.model,
            tags=self._tags(subject, attempt),
        )
        tokens = extraction.estimate_tokens(work.prompt.system + work.prompt.user) + work.prompt.max_output_tokens
        async with self._admission.admit(subject.effective, tokens=tokens) as lease:
            started_at = self._clock.now()
            sent = await self._transport.send(self._providers[connection.provider], call, timeout=self._call_timeout)
            lease.settle(sent.answer.usage)
        done = await self._judge(work, call, sent.answer)
        record = self._record(subject, call, attempt, done, sent, started_at)
        await self._jobs.settle(record)
        records.append(record)
        _log.info("attempt", **record.model_dump(mode="json", exclude={"usage", "price", "labels"}, exclude_none=True))
        return done

    async def _judge(self, work: _Work, call: Call, answer: Reply | Fault) -> _Try:
        """Check an answer and decide what follows; prepares the next try where there is to be one."""
        if isinstance(answer, Reply):
            checked = extraction.check(work.unit, work.subject.job, answer.text)
            if isinstance(checked, extraction.Extracted):
                return _Try(extracted=checked)
            reason = checked.reason
            fault = Fault(
                kind=checked.kind,
                message=f"The model's answer is not usable: {checked.reason}.",
                usage=answer.usage,
                request_id=answer.request_id,
                served_model=answer.served_model,
                limits=answer.limits,
            )
        else:
            fault, reason = answer, answer.message
        decision = decide(fault)
        work.met[fault.kind] += 1
        tries = decision.tries_when_last if work.subject.last and decision.tries_when_last else decision.tries
        if work.met[fault.kind] >= tries or (fault.retry_after or 0) > self._patience:
            return _Try(fault=fault, decision=decision)
        return _Try(fault=fault, decision=decision, again=await self._ready_again(work, call, decision.action, reason))

    async def _ready_again(self, work: _Work, call: Call, action: Action, reason: str) -> bool:
        """Prepare the next try; False when it would only be the same again."""
        match action:
            case Action.RETRY_LARGER:
                larger = extraction.enlarge(work.prompt, max_output=work.subject.model.max_output)
                enlarged = larger.max_output_tokens > work.prompt.max_output_tokens
                work.prompt = larger
                return enlarged
            case Action.RETRY_REMINDED:
                work.prompt = extraction.remind(work.prompt, reason)
                return True
            case Action.REFRESH_CREDENTIAL:
                return await self._refresh(work, call)
            case Action.RETRY | Action.FALL_BACK:
                return True

    async def _refresh(self, work: _Work, call: Call) -> bool:
        """Read the credential again; a rotation must fail no job. True when there is something newer to try."""
        provider, used = self._providers[call.connection.provider], work.credential
        renewed = isinstance(provider, HoldsTokens) and provider.forget(call)
        try:
            work.credential = await self._directory.credential(work.subject.effective, fresh=True)
        except CredentialMissing:
            return False
        return work.credential is not None and (renewed or used is None or work.credential.version != used.version)

    def _wait(self, state: RetryCallState) -> float:
        """The vendor's wait if it names one, else full-jitter backoff; none where the next try differs. In seconds."""
        done = _outcome(state)
        if done.decision is None or done.decision.action not in _WAITS:
            return 0
        if done.fault is not None and done.fault.retry_after is not None:
            return done.fault.retry_after
        return float(self._jitter() * min(_BACKOFF * 2 ** (state.attempt_number - 1), _BACKOFF_MAX))

    @staticmethod
    def _tags(subject: Subject, attempt: str) -> dict[str, str]:
        connection = subject.effective.connection
        # Ours last: no label may pass for another project. The model is not among them: the request itself names it.
        return {
            **connection.labels,
            **subject.job.labels,
            "project": subject.job.project,
            "provider": connection.provider.value,
            "role": connection.role.value,
            "job": subject.job_id,
            "attempt": attempt,
        }

    @staticmethod
    def _record(
        subject: Subject, call: Call, attempt: str, done: _Try, sent: Sent, started_at: datetime
    ) -> AttemptRecord:
        connection, answer = call.connection, sent.answer
        cost = price(connection.provider, answer.served_model or connection.model, usage=answer.usage, at=started_at)
        return AttemptRecord(
            id=uuid.uuid4().hex,
            attempt=attempt,
            job_id=subject.job_id,
            account=subject.effective.account,
            project=subject.job.project,
            provider=connection.provider,
            connection=connection.name,
            role=connection.role,
            model=connection.model,
            served_model=answer.served_model,
            credential_version=call.credential.version if call.credential else None,
            status="ok" if done.decision is None else done.decision.code.value,
            action=_taken(done, last=subject.last),
            usage=answer.usage,
            cost_usd=None if cost is None else format(cost.usd, "f"),
            price=None if cost is None else cost.as_json(),
            latency_ms=round(sent.latency * 1000),
            request_id=answer.request_id,
            labels={**connection.labels, **subject.job.labels},
            started_at=started_at,
        )


def _outcome(state: RetryCallState) -> _Try:
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after a try
    done: _Try = state.outcome.result()
    return done


def _taken(done: _Try, *, last: bool) -> str:
    """What was done about a try, for its record."""
    if done.decision is None:
        return "done"
    if done.again:
        return done.decision.action.value if done.decision.action in _RETRIES else Action.RETRY.value
    return "fail" if last else Action.FALL_BACK.value
