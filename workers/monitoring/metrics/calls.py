"""What a worker measures of its own calls, where they are admitted and settled: around admission and job store."""

from collections.abc import Mapping
from typing import Final

from config.connections import EffectiveConnection
from tasks.contract import AttemptRecord, FailureCode
from workers.admission import Admission, Demand, Lease, Observation, Reason, Refusal
from workers.clock import Clock
from workers.engine.routing import Route
from workers.jobs import JobStore
from workers.jobs.base import Claim, Dropped, Ended, Ending, Kept, Reopening
from workers.monitoring.metrics import names
from workers.monitoring.metrics.series import Count
from workers.notify.posting import Posted, Posting
from workers.signing import Noted

#: What a call does, by OpenTelemetry's conventions.
_OPERATION = "chat"


class CallMetrics:
    """What is measured, as metrics. As safe for threads as what counts them."""

    def __init__(self, count: Count) -> None:
        self.count: Final = count

    def settled(self, record: AttemptRecord) -> None:
        """An attempt is over."""
        call = (_OPERATION, names.provider_name(record.provider), record.model)
        failed = "" if record.status == "ok" else record.status
        self.count(names.DURATION.name, (*call, failed), record.latency_ms / 1000)
        usage = record.usage
        if usage.total:
            self.count(names.TOKEN_USAGE.name, (*call, "input"), usage.total - usage.output)
            self.count(names.TOKEN_USAGE.name, (*call, "output"), usage.output)
        if record.queue_wait_ms is not None:
            self.count(names.QUEUE_WAIT.name, (str(record.provider),), record.queue_wait_ms / 1000)

    def refused(self, effective: EffectiveConnection, reason: Reason) -> None:
        """A call was not admitted."""
        self.count(names.REFUSED.name, (effective.connection.provider.value, reason.value), 1)

    def estimated(self, effective: EffectiveConnection, *, tokens: int, used: int) -> None:
        """A call used tokens that were estimated before."""
        if used > 0:
            connection = effective.connection
            self.count(names.ESTIMATE.name, (connection.provider.value, connection.model), tokens / used)

    def ended(self, ending: Ending) -> None:
        """A job is over."""
        if ending.failure is not None:
            self.count(names.JOBS.name, ("failed", str(ending.failure.code)), 1)
        elif ending.result is not None:
            self.count(names.JOBS.name, (ending.result.status.value, ""), 1)

    def posted(self, posted: Posted, *, seconds: float) -> None:
        """A receiver was sent something; or was not, because its address may not be called."""
        self.count(names.POSTS.name, ("ok" if posted.problem is None else "failed",), seconds)

    def signature(self, noted: Noted) -> None:
        """The signature of a message was looked at."""
        self.count(names.SIGNATURES.name, (noted.outcome.value, noted.producer or ""), 1)


class MeasuredAdmission:
    """An admission whose answers are counted."""

    def __init__(self, admission: Admission, metrics: CallMetrics) -> None:
        self._admission = admission
        self._metrics = metrics

    async def admit(
        self, effective: EffectiveConnection, demand: Demand, *, reservation: str | None = None
    ) -> Lease | Refusal:
        """As the admission itself."""
        answer = await self._admission.admit(effective, demand, reservation=reservation)
        if isinstance(answer, Refusal):
            self._metrics.refused(effective, answer.reason)
            return answer
        return _MeasuredLease(answer, effective, demand, self._metrics)

    async def release(self, effective: EffectiveConnection, *, reservation: str) -> None:
        """As the admission itself."""
        await self._admission.release(effective, reservation=reservation)

    async def hold_back(
        self, effective: EffectiveConnection, *, reason: Reason, seconds: float, code: FailureCode
    ) -> None:
        """As the admission itself."""
        await self._admission.hold_back(effective, reason=reason, seconds=seconds, code=code)

    async def let_go(self, effective: EffectiveConnection, *, reason: Reason) -> None:
        """As the admission itself."""
        await self._admission.let_go(effective, reason=reason)


class _MeasuredLease:
    """A lease whose estimate is compared with what was used."""

    def __init__(self, lease: Lease, effective: EffectiveConnection, demand: Demand, metrics: CallMetrics) -> None:
        self._lease = lease
        self._effective = effective
        self._demand = demand
        self._metrics = metrics

    async def settle(self, observation: Observation) -> None:
        """As the lease itself."""
        await self._lease.settle(observation)
        if observation.usage is not None:
            used = observation.usage.total - observation.usage.output
            self._metrics.estimated(self._effective, tokens=self._demand.input_tokens, used=used)

    async def refund(self) -> None:
        """As the lease itself."""
        await self._lease.refund()


class MeasuredJobs:
    """A job store whose records and endings are counted, if they are the ones that stand."""

    def __init__(self, jobs: JobStore, metrics: CallMetrics) -> None:
        self._jobs = jobs
        self._metrics = metrics

    async def claim(self, job_id: str, *, hop: int, owner: str, lease: float) -> Claim:
        """As the store itself."""
        return await self._jobs.claim(job_id, hop=hop, owner=owner, lease=lease)

    async def renew(self, job_ids_and_owners: list[tuple[str, str]], *, lease: float) -> list[tuple[str, str]]:
        """As the store itself."""
        return await self._jobs.renew(job_ids_and_owners, lease=lease)

    async def settle(self, record: AttemptRecord) -> bool:
        """As the store itself."""
        stands = await self._jobs.settle(record)
        if stands:
            self._metrics.settled(record)
        return stands

    async def keep(self, job_id: str, *, unit: int, outcome: str) -> None:
        """As the store itself."""
        await self._jobs.keep(job_id, unit=unit, outcome=outcome)

    async def outlast(self, job_id: str, *, wait: float) -> None:
        """As the store itself."""
        await self._jobs.outlast(job_id, wait=wait)

    async def mark_batched(self, job_id: str, *, kept: int) -> None:
        """As the store itself."""
        await self._jobs.mark_batched(job_id, kept=kept)

    async def hand_over(self, job_id: str, *, owner: str, route: Route) -> tuple[Dropped, ...]:
        """As the store itself."""
        return await self._jobs.hand_over(job_id, owner=owner, route=route)

    async def end(self, job_id: str, *, owner: str, ending: Ending) -> Ended:
        """As the store itself."""
        stands = await self._jobs.end(job_id, owner=owner, ending=ending)
        if stands.ending is ending:
            self._metrics.ended(ending)
        return stands

    async def release(self, job_id: str, *, owner: str, dropped: bool = False) -> None:
        """As the store itself."""
        await self._jobs.release(job_id, owner=owner, dropped=dropped)

    async def kept(self, job_id: str) -> Kept:
        """As the store itself."""
        return await self._jobs.kept(job_id)

    async def reopen(self, job_id: str, kept: Kept, *, ttl: int) -> Reopening:
        """As the store itself."""
        return await self._jobs.reopen(job_id, kept, ttl=ttl)


class MeasuredPoster:
    """A poster whose posts are timed."""

    def __init__(self, poster: Posting, metrics: CallMetrics, *, clock: Clock) -> None:
        self._poster = poster
        self._metrics = metrics
        self._clock = clock

    async def post(self, url: str, *, body: str, headers: Mapping[str, str]) -> Posted:
        """As the poster itself."""
        began = self._clock.monotonic()
        posted = await self._poster.post(url, body=body, headers=headers)
        self._metrics.posted(posted, seconds=self._clock.monotonic() - began)
        return posted

    async def aclose(self) -> None:
        """As the poster itself."""
        await self._poster.aclose()
