"""From a batch to its vendor, and finding out whether it got there.

A batch is marked as being sent before it is sent. Whoever finds one so marked, much later than any request lasts, asks
the vendor for its latest batches: one that is there is taken up, one that is not there is sent again. Where the vendor
takes a name, the batch is known by it. Where it does not, the first one counts that is as large, was made since, and is
not known to be another; the ids of its results tell in the end whether it was the right one.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from config.errors import ConfigError, StoreError
from config.prices import pico_usd_per_token
from tasks.contract import Tier
from workers import extraction
from workers.admission import Budgets, Refusal
from workers.clock import Clock
from workers.economy.access import Access, NoBatches, Reached
from workers.economy.base import Batch, Held, Item, Pool, State
from workers.economy.gathering import call_of, pack_of
from workers.economy.parcels import Parcel, read_parcel
from workers.economy.planning import Terms, next_look, next_try
from workers.economy.undoing import Undoer
from workers.providers.base import Call, Fault, FaultKind
from workers.providers.batches import BatchItem, BatchView

_log = structlog.get_logger(__name__)

#: Faults after which the vendor may have taken the batch.
_UNKNOWN: Final = frozenset({FaultKind.READ, FaultKind.TIMEOUT, FaultKind.UNAVAILABLE, FaultKind.MALFORMED})
#: Faults that no other try mends: what the batch holds is worked live, where each call is judged on its own.
_FOR_GOOD: Final = frozenset(
    {
        FaultKind.BAD_REQUEST,
        FaultKind.CONTEXT_TOO_LONG,
        FaultKind.ENDPOINT_INVALID,
        FaultKind.MODEL_NOT_FOUND,
        FaultKind.PERMISSION_DENIED,
    }
)

#: Requests that a send may take, one after the other, until it is certainly over.
_REQUESTS: Final = 2
#: Seconds by which clocks may differ.
_SLACK: Final = 60.0
#: Output tokens that a call is expected to take, where its cap is higher.
_OUTPUT_OF_A_CALL: Final = 500
#: The longest that a batch that waits for a budget is left alone, in seconds: somebody may raise it.
_LOOK_AT_BUDGET: Final = 60.0
#: Items after which others on the loop have their turn.
_PAUSE_EVERY: Final = 20


class Sender:
    """Sends batches."""

    def __init__(
        self, *, pool: Pool, access: Access, budgets: Budgets, undoer: Undoer, clock: Clock, terms: Terms
    ) -> None:
        self._pool = pool
        self._access = access
        self._budgets = budgets
        self._undoer = undoer
        self._clock = clock
        self._terms = terms

    async def send(self, held: Held) -> None:
        """Send a batch that is ready.

        Raises:
            Moved: somebody else has turned to it.
            redis.RedisError: the pool cannot be reached.
        """
        batch = held.batch
        try:
            reached = await self._access.to(batch.line, fresh=batch.trouble is not None)
        except StoreError:
            raise
        except (ConfigError, NoBatches) as error:
            await self._retry(held, type(error).__name__, now=await self._pool.now())
            return
        connection = reached.effective.connection
        now = (connection.provider, connection.model, extraction.PROMPT_VERSION)
        if now != (batch.provider, batch.model, batch.prompt_version):
            # Its jobs are to be gathered anew, as they would be cut and sent now.
            await self._undoer.undo(held, again=True, why="what it was made for has changed")
            return
        items, cost = await self._items(batch, reached)
        if not items:
            await self._undoer.undo(held, again=False, why="nothing is left of it")
            return
        answer = await self._budgets.earmark(reached.effective, name=batch.id, cost=cost)
        if isinstance(answer, Refusal):
            await self._wait_for_budget(held, answer)
            return
        sending = batch.model_copy(
            update={
                "state": State.SENDING,
                "items": len(items),
                "sent_at": await self._pool.now(),
                "reserved": cost,
                "day": answer,
                "credential_version": reached.credential.version if reached.credential else None,
            }
        )
        held = await self._pool.update(held, sending)
        # In a thread: encoding megabytes is not to hold up the calls of others.
        request = await asyncio.to_thread(reached.provider.submit, items, name=batch.id)
        response = await self._access.ask(reached, request)
        view = response if isinstance(response, Fault) else reached.provider.read(reached.call, response)
        await self._sent(held, view)

    async def find(self, held: Held) -> None:
        """Find out whether a batch that was being sent got there.

        Raises:
            Moved: somebody else has turned to it.
            redis.RedisError: the pool cannot be reached.
        """
        batch, now = held.batch, await self._pool.now()
        over = (batch.sent_at or 0.0) + _REQUESTS * self._terms.timeout
        if now < over:
            # Another process may be at it.
            return
        try:
            reached = await self._access.to(batch.line, fresh=batch.trouble is not None)
        except StoreError:
            raise
        except (ConfigError, NoBatches) as error:
            await self._retry(held, type(error).__name__, now=now)
            return
        response = await self._access.ask(reached, reached.provider.listing(reached.call))
        views = response if isinstance(response, Fault) else reached.provider.read_listing(reached.call, response)
        if isinstance(views, Fault):
            await self._retry(held, views.message, now=now)
            return
        known = {other.batch.vendor_id for other in await self._pool.batches(batch.line)}
        found = next((view for view in views if view.id not in known and _is_it(view, batch)), None)
        if found is None:
            _log.info("batch_did_not_get_there", batch=batch.id, project=batch.project)
            await self._pool.update(held, _calm(batch, State.READY, now=now))
            return
        _log.info("batch_found_again", batch=batch.id, project=batch.project, vendor_id=found.id)
        await self._opened(held, found, now=now)

    async def _sent(self, held: Held, view: BatchView | Fault) -> None:
        batch, now = held.batch, await self._pool.now()
        if isinstance(view, BatchView):
            _log.info("batch_sent", batch=batch.id, project=batch.project, items=batch.items, vendor_id=view.id)
            await self._opened(held, view, now=now)
            return
        _log.warning("batch_not_sent", batch=batch.id, project=batch.project, error=view.message)
        if view.kind in _FOR_GOOD:
            await self._undoer.undo(held, again=False, why=view.message)
            return
        state = State.SENDING if view.kind in _UNKNOWN else State.READY
        await self._retry(held, view.message, now=now, state=state, asked=view.retry_after)

    async def _opened(self, held: Held, view: BatchView, *, now: float) -> None:
        opened = _calm(held.batch, State.OPEN, now=now + next_look(0, self._terms))
        await self._pool.update(held, opened.model_copy(update={"vendor_id": view.id, "looks": 1}))

    async def _retry(
        self, held: Held, trouble: str, *, now: float, state: State | None = None, asked: float | None = None
    ) -> None:
        """Turn to it later; for longer than patience lasts it is not waited for."""
        batch = held.batch
        since = now if batch.trouble_since is None else batch.trouble_since
        if now - since > self._terms.patience:
            await self._undoer.undo(held, again=False, why=trouble)
            return
        later = {
            "state": state or batch.state,
            "next_at": now + next_try(batch.looks, asked=asked),
            "looks": batch.looks + 1,
            "trouble_since": since,
            "trouble": trouble,
        }
        await self._pool.update(held, batch.model_copy(update=later))

    async def _wait_for_budget(self, held: Held, refusal: Refusal) -> None:
        if refusal.final:
            # A worker is to fail its jobs, as it does with those that are live.
            await self._undoer.undo(held, again=False, why="a spend cap is reached")
            return
        wait = max(1.0, min(refusal.wait, _LOOK_AT_BUDGET))
        later = {"next_at": await self._pool.now() + wait, "trouble": "a spend cap is reached"}
        await self._pool.update(held, held.batch.model_copy(update=later))

    async def _items(self, batch: Batch, reached: Reached) -> tuple[list[BatchItem], int]:
        """The calls of a batch whose jobs are still in it, and what they are expected to cost in pico-USD."""
        prices = pico_usd_per_token(batch.provider, batch.model, self._clock.now().date(), Tier.BATCH) or (0, 0)
        parcels: dict[str, Parcel | None] = {}
        items: list[BatchItem] = []
        cost = 0
        for place, item in enumerate(await self._pool.items(batch.id)):
            if place % _PAUSE_EVERY == 0:
                await asyncio.sleep(0)
            if item.job_id not in parcels:
                waiting = await self._pool.job(item.job_id, batch_id=batch.id)
                parcels[item.job_id] = read_parcel(waiting) if waiting else None
            call = _call(parcels, item, reached)
            if call is not None:
                items.append(BatchItem(id=item.id, call=call))
                output = min(call.prompt.max_output_tokens, _OUTPUT_OF_A_CALL)
                cost += extraction.prompt_tokens(call.prompt) * prices[0] + output * prices[1]
        return items, cost


def _call(parcels: Mapping[str, Parcel | None], item: Item, reached: Reached) -> Call | None:
    parcel = parcels[item.job_id]
    if parcel is None:
        return None
    try:
        return call_of(parcel, reached, pack_of(parcel, item, reached), item.attempt)
    except (extraction.PromptTooLong, LookupError):
        return None


def _calm(batch: Batch, state: State, *, now: float) -> Batch:
    """The batch in a new state, with no trouble in it yet."""
    calm = {"state": state, "next_at": now, "looks": 0, "trouble_since": None, "trouble": None}
    return batch.model_copy(update=calm)


def _is_it(view: BatchView, batch: Batch) -> bool:
    if view.name is not None:
        return view.name == batch.id
    made = view.created_at.timestamp() if view.created_at else 0.0
    return view.size == batch.items and made >= (batch.sent_at or 0.0) - _SLACK
