"""Batches as vendors keep them: taken at once, answered when their time has come, shown until they are deleted.

What they hold is answered by the same models as single requests, and booked as tier `batch`; no rate limit counts it.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.books import Entry
from workers.embedded.simulator.exchange import Incoming, Outgoing, Question, Reason, Rejection

#: Seconds until a batch that was not answered ends.
EXPIRES = 86_400.0


class Result(StrEnum):
    """What came of one request of a batch."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a batch."""

    #: What the caller calls it.
    id: str
    #: What it asks, or what is wrong with it.
    question: Question | Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one request of a batch."""

    result: Result
    #: The answer, or the error, as it would have come alone.
    outgoing: Outgoing | None = None
    entry: Entry | None = None


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch."""

    #: Hexadecimal; wires put their own words before it.
    id: str
    name: str | None
    model: str | None
    #: Where it was created, and at which host.
    path: str
    host: str
    account: Account
    created: float
    asked: Sequence[Asked]
    #: Answers one of its requests.
    run: "Run"
    #: By place; empty until it has ended.
    came: list[Came] = field(default_factory=list)
    ended: float | None = None
    #: When its end was asked for.
    cancelled: float | None = None

    def counts(self) -> Mapping[Result, int]:
        """How many came to what."""
        return {result: sum(one.result is result for one in self.came) for result in Result}


class Action(StrEnum):
    """What a request to a batch route wants."""

    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    RESULTS = "results"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request to create a batch holds."""

    name: str | None = None
    model: str | None = None
    asked: Sequence[Asked]


class BatchWire(Protocol):
    """How one vendor speaks of batches."""

    def action(self, incoming: Incoming) -> tuple[Action, str | None]:
        """What a request wants, and of which batch."""

    def wanted(self, incoming: Incoming) -> Wanted:
        """What a request to create a batch holds.

        Raises:
            Rejection: as for any request.
        """

    def show(self, batch: Batch) -> Outgoing:
        """A batch as the vendor shows it."""

    def listed(self, batches: Sequence[Batch]) -> Outgoing:
        """Batches as the vendor lists them."""

    def results(self, batch: Batch) -> Outgoing:
        """What came of its requests.

        Raises:
            Rejection: it has not ended.
        """

    def deleted(self, batch: Batch) -> Outgoing:
        """The answer to its deletion.

        Raises:
            Rejection: it has not ended.
        """


#: Answers one request of a batch.
Run = Callable[[Batch, Asked], Came]


class Batches:
    """All batches of all accounts."""

    def __init__(self, *, clock: Callable[[], float], rng: random.Random, seconds: float) -> None:
        """`seconds` is how long each takes, until somebody ends it earlier."""
        self._clock = clock
        self._rng = rng
        self.seconds = seconds
        #: (mount, id) → batch.
        self._batches: dict[tuple[str, str], Batch] = {}

    def create(self, mount: str, incoming: Incoming, wire: BatchWire, account: Account, run: Run) -> Batch:
        """Take a batch.

        Raises:
            Rejection: as for any request.
        """
        wanted = wire.wanted(incoming)
        batch = Batch(
            id=f"{self._rng.getrandbits(96):024x}",
            name=wanted.name,
            model=wanted.model,
            path=incoming.path,
            host=incoming.headers.get("Host", ""),
            account=account,
            created=self._clock(),
            asked=wanted.asked,
            run=run,
        )
        self._batches[mount, batch.id] = batch
        return batch

    def serve(self, mount: str, incoming: Incoming, wire: BatchWire, account: Account) -> tuple[Outgoing, list[Entry]]:
        """Answer a request about batches that there are; with the entries of what is delivered by that.

        Raises:
            Rejection: as for any request.
        """
        action, wanted = wire.action(incoming)
        mine = [
            batch
            for (owner, _), batch in self._batches.items()
            if owner == mount and batch.account.fingerprint == account.fingerprint
        ]
        for batch in mine:
            self._advance(batch)
        if action is Action.LIST:
            return wire.listed(sorted(mine, key=lambda batch: batch.created, reverse=True)), []
        found = next((batch for batch in mine if batch.id == wanted), None)
        if found is None:
            raise Rejection(Reason.MODEL_NOT_FOUND, f"Batch {wanted} not found")
        match action:
            case Action.RESULTS:
                outgoing = wire.results(found)
                return outgoing, [one.entry for one in found.came if one.entry is not None]
            case Action.CANCEL:
                if found.ended is None and found.cancelled is None:
                    found.cancelled = self._clock()
                return wire.show(found), []
            case Action.DELETE:
                outgoing = wire.deleted(found)
                del self._batches[mount, found.id]
                return outgoing, []
        return wire.show(found), []

    def end(self, *, done: int | None, rest: Result) -> int:
        """End all batches that are under way; how many.

        Args:
            done: requests of each that are answered, from the first on; None for all.
            rest: what becomes of the others.
        """
        under_way = [batch for batch in self._batches.values() if batch.ended is None]
        for batch in under_way:
            self._end(batch, done=done, rest=rest)
        return len(under_way)

    def __len__(self) -> int:
        return len(self._batches)

    def _advance(self, batch: Batch) -> None:
        now = self._clock()
        if batch.ended is not None:
            return
        if batch.cancelled is not None and batch.cancelled < now:
            # What was under way when it was asked for is done.
            self._end(batch, done=len(batch.asked) // 2, rest=Result.CANCELLED)
        elif now - batch.created >= EXPIRES:
            self._end(batch, done=0, rest=Result.EXPIRED)
        elif now - batch.created >= self.seconds:
            self._end(batch, done=None, rest=Result.EXPIRED)

    def _end(self, batch: Batch, *, done: int | None, rest: Result) -> None:
        batch.ended = self._clock()
        for place, asked in enumerate(batch.asked):
            is_done = done is None or place < done
            batch.came.append(batch.run(batch, asked) if is_done else Came(result=rest))
