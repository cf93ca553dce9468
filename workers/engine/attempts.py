"""One part of a job on one connection: call, check, decide, and try again in place where the table says so.

A part is one unit, or several that share a prompt. What a shared prompt is asked in vain is not asked again like that:
each of its units is retried alone, so that one bad episode spoils nothing for the others.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from redis import RedisError
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from config.connections import EffectiveConnection
from config.credentials import Credential
from config.errors import CredentialMissing, CredentialRefused
from config.prices import pico_usd_per_token, price
from tasks.contract import AttemptRecord, FailureCode, ProviderKind, Tier
from workers import extraction
from workers.admission import Admission, Demand, Lease, Observation, Reason, Refusal
from workers.admission.health import observe
from workers.alerts import Alerts
from workers.clock import Clock
from workers.configuration.directory import Directory
from workers.engine.delivery import Reservation
from workers.engine.flex import AT_STANDARD, Flex
from workers.engine.leases import LeaseLost
from workers.engine.outcome import Action, Decision, decide
from workers.engine.records import Done, about, record_of, tags_of, tries_of
from workers.engine.refused import CREDENTIAL_REST, credential_for
from workers.engine.trouble import Subject, Trouble, credential_alert
from workers.engine.verdict import judge
from workers.jobs import JobStore
from workers.providers.base import Call, Fault, FaultKind, HoldsTokens, Prompt, Provider, Reply
from workers.providers.transport import Sent
from workers.tracing import NO_TRACING, Tracing

_log = structlog.get_logger(__name__)

#: First backoff and its bound, in seconds, when the vendor names no wait.
_BACKOFF = 0.5
_BACKOFF_MAX = 8.0

#: What is worth waiting a moment for in place; all else takes longer than any moment.
_MOMENTARY = frozenset({Reason.TOKENS, Reason.REQUESTS, Reason.CONCURRENCY, Reason.RETRY_AFTER})
#: The longest such moment, in seconds.
_MOMENT = 0.25
#: The shortest wait before asking again, in seconds.
_LEAST_WAIT = 0.01

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
    """What changes between the tries of one part."""

    subject: Subject
    pack: extraction.Pack
    prompt: Prompt
    credential: Credential | None
    #: Tries of this part so far, those of earlier deliveries included.
    tries: int
    reservation: Reservation
    #: The cheaper tier that is asked for.
    tier: Tier | None = None
    #: What went wrong in this delivery, and how often.
    met: Counter[FaultKind] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """What one try came to: memories, or a fault and what follows from it, or leave refused."""

    #: Unit index → its memories; of a shared prompt perhaps not of all units, or of none.
    extracted: Mapping[int, extraction.Extracted] | None = None
    refusal: Refusal | None = None
    fault: Fault | None = None
    decision: Decision | None = None
    #: Whether to try again here.
    again: bool = False
    #: Whether what a shared prompt did not yield is to be asked about alone.
    split: bool = False


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
        alerts: Alerts,
        clock: Clock,
        tracing: Tracing = NO_TRACING,
        max_calls: int,
        call_timeout: float,
        flex_timeout: float,
        patience: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take everything that attempts need.

        Args:
            directory: chains and credentials.
            providers: how each kind is called.
            transport: sends the calls.
            admission: says who may call now.
            jobs: keeps what is settled.
            alerts: takes what an operator must know.
            clock: dates attempts.
            tracing: traces them.
            max_calls: calls in flight at once in this process.
            call_timeout: seconds of one call.
            flex_timeout: the same at the flex tier, which is served when the vendor has room.
            patience: the longest wait in place before a retry, in seconds.
            sleep: waits so many seconds.
            jitter: a number from 0 to 1, for backoff.
        """
        self._directory = directory
        self._providers = providers
        self._transport = transport
        self._admission = admission
        self._jobs = jobs
        self._alerts = alerts
        self._clock = clock
        self._tracing = tracing
        self._places = asyncio.Semaphore(max_calls)
        self._call_timeout = call_timeout
        self._flex_timeout = max(flex_timeout, call_timeout)
        self._flex = Flex(clock=clock)
        self._patience = patience
        self._sleep = sleep
        self._jitter = jitter

    async def make(
        self,
        subject: Subject,
        pack: extraction.Pack,
        records: list[AttemptRecord],
        *,
        reservation: Reservation,
    ) -> Mapping[int, extraction.Extracted] | Trouble:
        """Try a part of a job on the subject's connection until it yields memories or the table says to stop.

        Args:
            subject: the job and the connection.
            pack: the part of the job.
            records: attempts of the job so far; each try is appended as it is settled.
            reservation: what was set aside for the job at the meter; the first call takes it.

        Returns:
            Unit index → its memories. Units of a shared prompt that are not among them are to be asked about alone.

        Raises:
            CredentialMissing: nothing was called.
            LeaseLost: nothing was called, or not again: another delivery may have the job in hand.
        """
        prefix = f"{subject.route.hop}.{pack.index}."
        try:
            credential = await credential_for(subject, self._directory, self._admission)
        except CredentialRefused:
            return Trouble.of_refused_credential(subject)
        work = _Work(
            subject=subject,
            pack=pack,
            prompt=pack.prompt,
            credential=credential,
            tries=tries_of(records, prefix),
            reservation=reservation,
            tier=self._flex.tier(subject),
        )
        done = await self._try(work, records)
        if done.again:
            done = await self._again(done, work, records)
        if done.extracted is not None:
            return done.extracted
        if done.refusal is not None:
            return Trouble.of_refusal(done.refusal, subject)
        assert done.fault is not None and done.decision is not None  # noqa: S101, PT018 - the other half of _Try
        return Trouble.of_fault(done.fault, done.decision, subject)

    async def give_back(self, effective: EffectiveConnection, reservation: str) -> None:
        """Give back what was set aside for a job that made no call.

        Raises:
            redis.RedisError: it cannot be given back; it runs out by itself.
        """
        await self._admission.release(effective, reservation=reservation)

    def lost(self, record: AttemptRecord) -> None:
        """Tell of a call that was written down as lost."""
        self._tracing.attempted(record, max_output_tokens=None, server=None)
        _log.warning("attempt_lost", **record.model_dump(mode="json", exclude_none=True))

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
        async with self._places:
            lease = await self._admit(work)
            if isinstance(lease, Refusal):
                return _Try(refusal=lease)
            if not work.subject.in_hand():
                await lease.refund()
                raise LeaseLost
            return await self._call(work, records, lease)

    async def _call(self, work: _Work, records: list[AttemptRecord], lease: Lease) -> _Try:
        work.tries += 1
        subject, connection = work.subject, work.subject.effective.connection
        attempt = f"{subject.route.hop}.{work.pack.index}.{work.tries}"
        call = Call(
            prompt=work.prompt,
            connection=connection,
            credential=work.credential,
            model=subject.model,
            tags=tags_of(subject, attempt),
            tier=work.tier,
        )
        started_at = self._clock.now()
        timeout = self._call_timeout if work.tier is None else self._flex_timeout
        sent = await self._transport.send(self._providers[connection.provider], call, timeout=timeout)
        answer = sent.answer
        model = answer.served_model or connection.model
        cost = price(connection.provider, model, usage=answer.usage, at=started_at, tier=answer.tier)
        pico = cost.pico_usd if cost else None
        observation = observe(answer, provider=connection.provider, cost=pico, tier=call.tier)
        await self._settle(lease, observation, attempt=attempt)
        done = await self._judge(work, call, answer)
        record = record_of(
            subject,
            call,
            attempt=attempt,
            done=about(
                work.pack,
                Done(decision=done.decision, again=done.again, split=done.split),
                answer=answer,
                yielded=done.extracted or (),
            ),
            sent=sent,
            cost=cost,
            started_at=started_at,
        )
        await self._jobs.settle(record)
        records.append(record)
        await self._alerts.attempt_made(record)
        self._tracing.attempted(record, max_output_tokens=call.prompt.max_output_tokens, server=sent.server)
        # The record as the ledger has it.
        _log.info("attempt", **record.model_dump(mode="json", exclude_none=True))
        return done

    @staticmethod
    async def _settle(lease: Lease, observation: Observation, *, attempt: str) -> None:
        """Tell the meter; an answer that is paid for must not be lost because the meter cannot be told."""
        try:
            await lease.settle(observation)
        except RedisError as error:
            _log.warning("lease_not_settled", attempt=attempt, error=type(error).__name__)

    async def _admit(self, work: _Work) -> Lease | Refusal:
        """Leave for the next call; a moment's wait for it is spent here, a longer one is not."""
        connection = work.subject.effective.connection
        prices = pico_usd_per_token(connection.provider, connection.model, self._clock.now().date(), work.tier)
        demand = Demand(
            input_tokens=extraction.prompt_tokens(work.prompt),
            max_output_tokens=work.prompt.max_output_tokens,
            input_price=prices[0] if prices else None,
            output_price=prices[1] if prices else None,
            longer=0.0 if work.tier is None else self._flex_timeout - self._call_timeout,
        )
        left = _MOMENT
        reservation = work.reservation.take()
        while True:
            answer = await self._admission.admit(work.subject.effective, demand, reservation=reservation)
            if not isinstance(answer, Refusal):
                return answer
            if answer.reason not in _MOMENTARY or answer.wait > left:
                break
            left -= max(answer.wait, _LEAST_WAIT)
            await self._sleep(max(answer.wait, _LEAST_WAIT))
        if reservation is not None:
            await self._admission.release(work.subject.effective, reservation=reservation)
        return answer

    async def _judge(self, work: _Work, call: Call, answer: Reply | Fault) -> _Try:
        """Check an answer and decide what follows; prepares the next try where there is to be one."""
        verdict = judge(work.pack, work.subject.job, answer)
        fault = verdict.fault
        if fault is None:
            return _Try(extracted=verdict.extracted)
        if fault.kind in AT_STANDARD and work.tier is not None:
            work.tier = None
            self._flex.failed(work.subject, fault.kind)
        if verdict.split:
            return _Try(extracted=verdict.extracted, decision=None if verdict.extracted else decide(fault), split=True)
        decision = decide(fault)
        work.met[fault.kind] += 1
        tries = decision.tries_when_last if work.subject.last and decision.tries_when_last else decision.tries
        if work.met[fault.kind] >= tries or (fault.retry_after or 0) > self._patience:
            if decision.action is Action.REFRESH_CREDENTIAL:
                # The newer one, or the one with a fresh token, was refused as well.
                await self._leave_alone(work.subject, call.credential, decision.code)
            return _Try(fault=fault, decision=decision)
        return _Try(fault=fault, decision=decision, again=await self._ready_again(work, call, decision, verdict.reason))

    async def _ready_again(self, work: _Work, call: Call, decision: Decision, reason: str) -> bool:
        """Prepare the next try; False when it would only be the same again."""
        match decision.action:
            case Action.RETRY_LARGER:
                larger = extraction.enlarge(work.prompt, max_output=work.subject.model.max_output)
                enlarged = larger.max_output_tokens > work.prompt.max_output_tokens
                work.prompt = larger
                return enlarged
            case Action.RETRY_REMINDED:
                work.prompt = extraction.remind(work.prompt, reason)
                return True
            case Action.REFRESH_CREDENTIAL:
                return await self._refresh(work, call, decision.code)
            case Action.RETRY | Action.FALL_BACK | Action.RETRY_STANDARD:
                return True

    async def _refresh(self, work: _Work, call: Call, code: FailureCode) -> bool:
        """Read the credential again; a rotation must fail no job. True when there is something newer to try."""
        provider, used = self._providers[call.connection.provider], work.credential
        renewed = isinstance(provider, HoldsTokens) and provider.forget(call)
        try:
            work.credential = await self._directory.credential(work.subject.effective, fresh=True)
        except (CredentialMissing, CredentialRefused):
            return False
        newer = work.credential is not None and used is not None and work.credential.version != used.version
        if renewed or newer:
            return True
        await self._leave_alone(work.subject, used, code)
        return False

    async def _leave_alone(self, subject: Subject, credential: Credential | None, code: FailureCode) -> None:
        """The newest credential was refused, or that there is none: no other job needs to find that out by a call."""
        if credential is not None and not self._directory.refuse(subject.effective, credential.version):
            return
        await self._admission.hold_back(subject.effective, reason=Reason.CREDENTIAL, seconds=CREDENTIAL_REST, code=code)
        if credential is not None:
            await self._alerts.raise_alert(credential_alert(subject, credential.version, code, at=self._clock.now()))

    def _wait(self, state: RetryCallState) -> float:
        """The vendor's wait if it names one, else full-jitter backoff; none where the next try differs. In seconds."""
        done = _outcome(state)
        if done.decision is None or done.decision.action not in _WAITS:
            return 0
        if done.fault is not None and done.fault.retry_after is not None:
            return done.fault.retry_after
        return float(self._jitter() * min(_BACKOFF * 2 ** (state.attempt_number - 1), _BACKOFF_MAX))


def _outcome(state: RetryCallState) -> _Try:
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after a try
    done: _Try = state.outcome.result()
    return done
