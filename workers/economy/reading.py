"""From a vendor's results to usage records and memories: each call counts once, and each job goes back to its lane.

Results may be read more than once, since whoever reads them may die on the way. Nothing here minds: records are known
by the ids of their items, the first memories of a unit stand, and a job that went back is not in its batch any more.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import structlog

from config.errors import ConfigError, StoreError
from config.prices import Cost, price
from tasks.contract import AttemptRecord, FailureCode, Tier
from workers import extraction
from workers.alerts import Alerts
from workers.clock import Clock
from workers.economy.access import Access, NoBatches, Reached
from workers.economy.base import Batch, Held, Item, Pool, State
from workers.economy.gathering import call_of, pack_of, subject_of, units_of
from workers.economy.parcels import Parcel, read_parcel
from workers.economy.planning import GIVEN_UP_AFTER, Terms, next_look, next_try
from workers.economy.undoing import Undoer
from workers.engine.kept import Kept
from workers.engine.outcome import decide
from workers.engine.records import Done, about, record_of
from workers.engine.verdict import judge
from workers.jobs import JobStore
from workers.providers.base import Fault, FaultKind, Reply
from workers.providers.batches import BatchView, Outcome, Undone
from workers.providers.transport import Sent

_log = structlog.get_logger(__name__)

#: What a call comes to that the vendor did not make.
_UNDONE: Mapping[Undone, Fault] = {
    Undone.EXPIRED: Fault(kind=FaultKind.TIMEOUT, message="The vendor did not come to it within its day."),
    Undone.CANCELLED: Fault(kind=FaultKind.UNAVAILABLE, message="The batch was ended before the vendor came to it."),
    Undone.LOST: Fault(kind=FaultKind.UNAVAILABLE, message="The batch ended without a word of it."),
}
#: How often a batch's results are taken in hand before that is given up.
_MOST_READS = 5
#: Faults that a look at a batch meets for good, if they last.
_GONE = frozenset({FaultKind.MODEL_NOT_FOUND, FaultKind.PERMISSION_DENIED, FaultKind.ENDPOINT_INVALID})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """What came of one item."""

    record: AttemptRecord
    extracted: Mapping[int, extraction.Extracted]
    #: Whether all that it asked about was answered well.
    whole: bool


class Reader:
    """Looks at batches, and takes their results."""

    def __init__(
        self,
        *,
        pool: Pool,
        access: Access,
        jobs: JobStore,
        undoer: Undoer,
        alerts: Alerts,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._pool = pool
        self._access = access
        self._jobs = jobs
        self._undoer = undoer
        self._alerts = alerts
        self._clock = clock
        self._terms = terms

    async def look(self, held: Held) -> None:
        """Look at a batch that the vendor has, and take its results if it has ended.

        Raises:
            Moved: somebody else has turned to it.
            redis.RedisError: the pool or the job store cannot be reached.
        """
        reached = await self._reach(held)
        if reached is None:
            return
        if held.cancel and not held.batch.cancelling:
            held = await self._cancel(held, reached)
        batch, provider = held.batch, reached.provider
        response = await self._access.ask(reached, provider.look(reached.call, batch.vendor_id or ""))
        view = response if isinstance(response, Fault) else provider.read(reached.call, response)
        if isinstance(view, Fault):
            await self._trouble(held, view)
        elif not view.ended:
            now = await self._pool.now()
            if now - (batch.sent_at or now) > GIVEN_UP_AFTER:
                await self._undoer.undo(held, again=False, why="the vendor does not end it")
                return
            calm = {"trouble_since": None, "trouble": None, "looks": batch.looks + 1}
            next_at = now + next_look(batch.looks, self._terms)
            await self._pool.update(held, batch.model_copy(update={**calm, "next_at": next_at}))
        else:
            await self._take(held, reached, view)

    async def close(self, held: Held) -> None:
        """Let the vendor forget a batch whose results are taken, and be done with it.

        Raises:
            Moved: somebody else has turned to it.
            redis.RedisError: the pool cannot be reached.
        """
        batch = held.batch
        # One that was taken for ours and was not is not ours to delete.
        if any(batch.outcome.get(word) for word in ("succeeded", "failed")):
            try:
                reached = await self._access.to(batch.line)
            except (ConfigError, NoBatches):
                pass
            else:
                request = reached.provider.delete(reached.call, batch.vendor_id or "")
                response = await self._access.ask(reached, request)
                if isinstance(response, Fault) or response.status >= 400:  # noqa: PLR2004 - all that are refusals
                    _log.warning("batch_not_deleted", batch=batch.id, project=batch.project, vendor_id=batch.vendor_id)
        await self._pool.update(held, batch.model_copy(update={"state": State.CLOSED}))

    async def _reach(self, held: Held) -> Reached | None:
        batch = held.batch
        try:
            return await self._access.to(batch.line, fresh=batch.trouble is not None)
        except StoreError:
            raise
        except NoBatches:
            # The connection has another model now; the batch is still there, on the credential that sent it.
            fault = Fault(kind=FaultKind.MODEL_NOT_FOUND, message="the connection's model has no batches any more")
        except ConfigError as error:
            fault = Fault(kind=FaultKind.CREDENTIAL_REJECTED, message=str(error))
        await self._trouble(held, fault)
        return None

    async def _cancel(self, held: Held, reached: Reached) -> Held:
        batch = held.batch
        response = await self._access.ask(reached, reached.provider.cancel(reached.call, batch.vendor_id or ""))
        if isinstance(response, Fault):
            return held
        _log.info("batch_cancelled", batch=batch.id, project=batch.project, status=response.status)
        return await self._pool.update(held, batch.model_copy(update={"cancelling": True}))

    async def _trouble(self, held: Held, fault: Fault) -> None:
        """Look again later; what is gone for good is not waited for longer than patience lasts."""
        batch, now = held.batch, await self._pool.now()
        since = now if batch.trouble_since is None else batch.trouble_since
        lost = fault.kind in _GONE and now - since > self._terms.patience
        if lost or now - (batch.sent_at or now) > GIVEN_UP_AFTER:
            await self._undoer.undo(held, again=False, why=fault.message)
            return
        _log.warning("batch_not_read", batch=batch.id, project=batch.project, error=fault.message)
        later = {
            "next_at": now + next_try(batch.looks, asked=fault.retry_after),
            "looks": batch.looks + 1,
            "trouble_since": since,
            "trouble": fault.message,
        }
        await self._pool.update(held, batch.model_copy(update=later))

    async def _take(self, held: Held, reached: Reached, view: BatchView) -> None:
        """Take the results of a batch that has ended."""
        batch, provider = held.batch, reached.provider
        items = await self._pool.items(batch.id)
        response = await self._access.ask(reached, provider.results(reached.call, view.id))
        if isinstance(response, Fault):
            await self._trouble(held, response)
            return
        # In a thread: decoding megabytes is not to hold up the calls of others.
        outcomes = await asyncio.to_thread(provider.read_results, reached.call, response, [item.id for item in items])
        if isinstance(outcomes, Fault):
            await self._trouble(held, outcomes)
            return
        if batch.reads >= _MOST_READS:
            # Whoever takes them dies of it. Workers find out which job it is, and set that aside.
            await self._undoer.undo(held, again=False, why="its results could not be taken")
            return
        held = await self._pool.update(held, batch.model_copy(update={"reads": batch.reads + 1}))
        batch = held.batch
        counts: Counter[str] = Counter()
        cost = 0
        jobs = [(job_id, list(of_job)) for job_id, of_job in groupby(items, key=lambda item: item.job_id)]
        # The last first: each goes to the head of its lane.
        for job_id, of_job in reversed(jobs):
            await asyncio.sleep(0)
            came = [(item, outcomes.get(item.id, view.missing)) for item in of_job]
            for _, outcome in came:
                counts[_word(outcome)] += 1
                cost += self._cost(batch, outcome)
            await self._settle(batch, reached, job_id, came)
        await self._undoer.put_right(batch, cost=cost)
        _log.info("batch_read", batch=batch.id, project=batch.project, **counts)
        read = {"state": State.READ, "outcome": dict(counts), "ended_at": await self._pool.now(), "next_at": 0.0}
        held = await self._pool.update(held, batch.model_copy(update=read))
        await self.close(held)

    async def _settle(self, batch: Batch, reached: Reached, job_id: str, came: Sequence[tuple[Item, Outcome]]) -> None:
        """Count what came of a job's calls, keep its memories, and give it back."""
        waiting = await self._pool.job(job_id, batch_id=batch.id)
        if waiting is None:
            return
        parcel = read_parcel(waiting)
        whole = parcel is not None
        for item, outcome in came if parcel is not None else ():
            assert parcel is not None  # noqa: S101 - there is nothing to go through without one
            try:
                one = await self._came(batch, reached, parcel, item, outcome)
            except extraction.PromptTooLong as error:
                # The connection has a smaller model now.
                _log.error("batch_item_not_counted", batch=batch.id, item=item.id, error=type(error).__name__)
                whole = False
                continue
            if await self._jobs.settle(one.record):
                await self._alerts.attempt_made(one.record)
            for index, extracted in one.extracted.items():
                await self._jobs.keep(job_id, unit=index, outcome=Kept.of(extracted).text())
            whole = whole and one.whole
        await self._undoer.give_back(batch, job_id, again=False, done=whole)

    async def _came(self, batch: Batch, reached: Reached, parcel: Parcel, item: Item, outcome: Outcome) -> _Came:
        answer = _UNDONE[outcome] if isinstance(outcome, Undone) else outcome
        try:
            pack = pack_of(parcel, item, reached)
            fits = batch.prompt_version == extraction.PROMPT_VERSION
        except LookupError:
            pack, fits = extraction.Pack.alone(units_of(parcel, reached)[0]), False
        if not fits and isinstance(answer, Reply):
            answer = _outdated(answer)
        verdict = judge(pack, parcel.job, answer)
        # What a batch does not yield is asked again live, on the same connection.
        done = Done(decision=None, again=False)
        if verdict.fault is not None:
            decision = decide(verdict.fault)
            if outcome is Undone.CANCELLED:
                decision = replace(decision, code=FailureCode.CANCELLED)
            done = Done(decision=decision, again=True)
            if verdict.split:
                done = Done(decision=None if verdict.extracted else decision, again=False, split=True)
        record = record_of(
            subject_of(parcel, reached, now=await self._pool.now()),
            call_of(parcel, reached, pack, item.attempt),
            attempt=item.attempt,
            done=about(pack, done, answer=answer, yielded=verdict.extracted),
            sent=Sent(answer=answer, latency=0),
            cost=self._price(batch, answer),
            started_at=self._clock.now(),
        )
        named = {"id": item.id, "tier": Tier.BATCH, "credential_version": batch.credential_version}
        return _Came(record=record.model_copy(update=named), extracted=verdict.extracted, whole=verdict.fault is None)

    def _price(self, batch: Batch, answer: Reply | Fault) -> Cost | None:
        model = answer.served_model or batch.model
        return price(batch.provider, model, usage=answer.usage, at=self._clock.now(), tier=Tier.BATCH)

    def _cost(self, batch: Batch, outcome: Outcome) -> int:
        cost = None if isinstance(outcome, Undone) else self._price(batch, outcome)
        return cost.pico_usd if cost else 0


def _outdated(reply: Reply) -> Fault:
    """An answer to prompts of another version: it is billed, and fits nothing."""
    return Fault(
        kind=FaultKind.MALFORMED,
        message="It answers prompts of another version of this program.",
        usage=reply.usage,
        request_id=reply.request_id,
        served_model=reply.served_model,
        tier=reply.tier,
    )


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Undone):
        return outcome.value
    return "succeeded" if isinstance(outcome, Reply) else "failed"
