"""What happens to a request between its parsing and its answer: key, faults, limits, model, books.

The core knows no vendor and no HTTP framework: wire modules translate on one side, `server` carries bytes on the other.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from workers.embedded.simulator import brain
from workers.embedded.simulator.accounts import Account, Accounts, Charge, KeyState
from workers.embedded.simulator.batches import Action, Asked, Batch, Batches, BatchWire, Came, Result
from workers.embedded.simulator.books import Books, BooksReport, Entry
from workers.embedded.simulator.exchange import (
    Answer,
    Finish,
    Incoming,
    Outgoing,
    Question,
    Reason,
    Receipt,
    Rejection,
    Usage,
)
from workers.embedded.simulator.faults import AFTER_THE_MODEL, FaultRule, Faults, Injection, spoil, spoil_body
from workers.embedded.simulator.meter import Meter, Reading
from workers.embedded.simulator.prompt_cache import PromptCache
from workers.embedded.simulator.tokens import count, cut
from workers.embedded.simulator.wire import Mount, Operation, Route, Wire

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
#: Longer than any client waits.
_FOREVER = 86_400.0


class Latency(BaseModel):
    """How long a model takes, in seconds: uniform between `low` and `high`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(default=0.005, ge=0)
    high: float = Field(default=0.02, ge=0)

    @classmethod
    def fixed(cls, seconds: float) -> "Latency":
        """Always the same."""
        return cls(low=seconds, high=seconds)

    def draw(self, rng: random.Random) -> float:
        """One latency."""
        return self.low if self.low == self.high else rng.uniform(self.low, self.high)


class Options(BaseModel):
    """How a simulator is set up."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    accounts: tuple[Account, ...] = ()
    #: Whether an unknown key opens an account, with the limits of `template`, instead of being refused.
    permissive: bool = True
    template: Account = Account(key=SecretStr("template"))
    latency: Latency = Latency()
    #: Seconds that a batch takes, until somebody ends it.
    batch_seconds: float = Field(default=1.0, ge=0)
    #: Makes latencies, probabilities and ids repeatable.
    seed: int | None = None


class Broken(Exception):
    """The connection is to be broken instead of answered."""

    def __init__(self, kind: Injection) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True)
class _Exchange:
    """One request on its way."""

    mount: Mount
    route: Route
    incoming: Incoming
    entry: Entry
    receipt: Receipt
    account: Account | None = None


class Core:
    """All state of one simulator."""

    def __init__(
        self,
        options: Options,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._rng = random.Random(options.seed)  # noqa: S311 - latencies and ids of a simulator, not secrets
        self.latency = options.latency
        self.accounts = Accounts(options.accounts, template=options.template if options.permissive else None)
        self.books = Books()
        self.faults = Faults(self._rng)
        self._meter = Meter(clock)
        self._cache = PromptCache(clock)
        self.batches = Batches(clock=clock, rng=self._rng, seconds=options.batch_seconds)

    def report(self, *, entries: int) -> BooksReport:
        """The books, with at most so many of the latest entries."""
        return self.books.report(self._meter.reports(), entries=entries)

    def reset(self) -> None:
        """New books, full buckets, an empty prompt cache; accounts and faults stay."""
        self.books.reset()
        self._meter.reset()
        self._cache.reset()

    async def serve(self, mount: Mount, route: Route, incoming: Incoming) -> tuple[Outgoing, Entry]:
        """Answer one request; the caller books the delivery.

        Raises:
            Broken: no response is to be sent.
        """
        now = self._clock()
        receipt = Receipt(request_id=f"req_{self._rng.getrandbits(128):032x}", created=now)
        entry = Entry(time=now, vendor=mount.name, path=incoming.path, request_id=receipt.request_id)
        exchange = _Exchange(mount, route, incoming, entry, receipt)
        wire = mount.wire
        try:
            outgoing = await self._answer(exchange)
        except Rejection as rejection:
            self._note(exchange, rejection)
            outgoing = wire.reject(rejection, incoming)
            entry.status = outgoing.status
            self.books.write(entry)
        headers = {
            **outgoing.headers,
            **wire.headers(receipt, self._reading(exchange), self._clock() - now),
            "x-simulated": "true",
        }
        return replace(outgoing, headers=headers), entry

    async def _answer(self, exchange: _Exchange) -> Outgoing:
        wire, incoming, entry = exchange.mount.wire, exchange.incoming, exchange.entry
        account = exchange.account = self._authenticate(exchange)
        entry.key = account.fingerprint
        if exchange.route.operation is Operation.LOOKUP:
            return await self._look_up(exchange, account)
        if exchange.route.operation is Operation.BATCH:
            return await self._batch(exchange, account)
        question = wire.parse(incoming)
        entry.model, entry.stored, entry.tags = question.model, question.stored, question.tags
        entry.tier = question.tier
        if not account.may_use(question.model):
            raise Rejection(Reason.MODEL_NOT_FOUND, model=question.model)
        rule = self._draw(exchange, question.model, question.user)
        if rule is not None and rule.kind not in AFTER_THE_MODEL:
            return await self._interrupt(exchange, rule, question)
        answer = self._think(account, question, rule)
        outgoing = wire.render(question, answer, exchange.receipt)
        # Booked before it is waited for: whoever hangs up meanwhile has been served all the same.
        self._book(entry, outgoing.status, answer.usage)
        slowness = rule.seconds if rule is not None and rule.seconds else 0.0
        await self._wait(self.latency.draw(self._rng) + slowness)
        return outgoing

    def _note(self, exchange: _Exchange, rejection: Rejection) -> None:
        """What the books and the meter keep of a rejection."""
        entry = exchange.entry
        entry.reason = rejection.reason.value
        entry.model = entry.model or rejection.model
        if rejection.reason is Reason.BAD_REQUEST and exchange.account is not None and entry.model is not None:
            self._meter.touch(exchange.account, entry.model)

    async def _look_up(self, exchange: _Exchange, account: Account) -> Outgoing:
        rule = self._draw(exchange, exchange.incoming.params.get("model"))
        if rule is not None and rule.kind not in AFTER_THE_MODEL:
            return await self._interrupt(exchange, rule, None)
        if rule is not None and rule.prefix is None:
            # It is meant for answers of a model, and not for the token that a call of it needs.
            rule = exchange.entry.fault = None
        outgoing = exchange.mount.wire.look_up(exchange.incoming, account)
        exchange.entry.status = outgoing.status
        self.books.write(exchange.entry)
        if rule is not None:
            await self._wait(rule.seconds or 0.0)
            outgoing = replace(outgoing, body=spoil_body(rule.kind, outgoing.body))
        return outgoing

    async def _batch(self, exchange: _Exchange, account: Account) -> Outgoing:
        """A request about batches; a fault that is billed strikes when a new one was taken already."""
        incoming, mount = exchange.incoming, exchange.mount
        wire = cast("BatchWire", mount.wire)
        is_new = wire.action(incoming)[0] is Action.CREATE
        rule = self._draw(exchange, incoming.params.get("model"))
        struck = rule is not None and rule.kind not in AFTER_THE_MODEL
        delivered: list[Entry] = []
        if not struck or (rule is not None and rule.billed and is_new):
            if is_new:
                answer = partial(self._answer_one, mount.wire, mount.name, incoming)
                outgoing = wire.show(self.batches.create(mount.name, incoming, wire, account, answer))
            else:
                outgoing, delivered = self.batches.serve(mount.name, incoming, wire, account)
        if struck and rule is not None:
            return await self._interrupt(exchange, rule, None)
        self._book(exchange.entry, outgoing.status, None)
        if rule is None or rule.kind is not Injection.TORN:
            for entry in delivered:
                self.books.deliver(entry)
        return outgoing

    def _answer_one(self, wire: Wire, vendor: str, incoming: Incoming, batch: Batch, asked: Asked) -> Came:
        """Answer one request of a batch."""
        receipt = Receipt(request_id=f"req_{self._rng.getrandbits(128):032x}", created=self._clock())
        entry = Entry(
            time=receipt.created,
            vendor=vendor,
            path=batch.path,
            key=batch.account.fingerprint,
            tier="batch",
            request_id=receipt.request_id,
        )
        question = asked.question
        try:
            if isinstance(question, Rejection):
                raise question
            entry.model, entry.stored, entry.tags = question.model, question.stored, question.tags
            rule = self.faults.draw(
                key=entry.key, path=batch.path, model=question.model, text=question.user, tier="batch"
            )
            if rule is not None:
                entry.fault = rule.kind.value
            if rule is not None and rule.kind is Injection.STATUS:
                raise rule.rejection(question.model)
            if rule is not None and rule.kind not in AFTER_THE_MODEL:
                # What never answers is what the vendor did not come to.
                self._book(entry, None, None)
                return Came(result=Result.EXPIRED)
            answer = self._think(batch.account, question, rule, metered=False)
        except Rejection as rejection:
            entry.reason, entry.model = rejection.reason.value, entry.model or rejection.model
            outgoing = wire.reject(rejection, incoming)
            self._book(entry, outgoing.status, None)
            return Came(result=Result.ERRORED, outgoing=outgoing)
        outgoing = wire.render(question, answer, receipt)
        self._book(entry, outgoing.status, answer.usage)
        return Came(result=Result.SUCCEEDED, outgoing=outgoing, entry=entry)

    def _authenticate(self, exchange: _Exchange) -> Account:
        wire = exchange.mount.wire
        key = wire.credential(exchange.incoming)
        if key is None:
            if wire.needs_key:
                raise Rejection(Reason.MISSING_KEY)
            return self.accounts.anonymous()
        account = self.accounts.find(key)
        if account is not None:
            # Known before it is refused: the books say whose refused calls they are.
            exchange.entry.key = account.fingerprint
        if account is None or account.state is KeyState.REVOKED:
            raise Rejection(Reason.WRONG_KEY)
        if account.state is KeyState.EXPIRED:
            raise Rejection(Reason.EXPIRED_KEY)
        return account

    def _draw(self, exchange: _Exchange, model: str | None, text: str = "") -> FaultRule | None:
        entry = exchange.entry
        path = exchange.incoming.path
        rule = self.faults.draw(key=entry.key, path=path, model=model, text=text, tier=entry.tier)
        if rule is not None:
            exchange.entry.fault = rule.kind.value
        return rule

    async def _interrupt(self, exchange: _Exchange, rule: FaultRule, question: Question | None) -> Outgoing:
        """A fault that comes instead of an answer.

        Raises:
            Rejection: for an error status.
            Broken: for a connection that ends without a response.
        """
        entry, account = exchange.entry, exchange.account
        usage = None
        if question is not None and account is not None:
            if rule.billed:
                usage = self._think(account, question, None).usage
            else:
                self._meter.touch(account, question.model)
        if rule.kind is Injection.STATUS:
            raise rule.rejection(exchange.incoming.params.get("model") or entry.model)
        status = 200 if rule.kind is Injection.HTML else None
        self._book(entry, status, usage)
        if rule.kind is Injection.HTML:
            return Outgoing(status=200, body=_HTML, content_type="text/html")
        if rule.kind is Injection.HANG:
            await self._wait(rule.seconds or _FOREVER)
        raise Broken(rule.kind)

    def _think(self, account: Account, question: Question, rule: FaultRule | None, *, metered: bool = True) -> Answer:
        """The model's answer, cut where the request's output cap or a fault cuts it, and charged for."""
        prompt = count(question.system) + count(question.user) + question.schema_tokens
        if question.context is not None and prompt > question.context:
            raise Rejection(Reason.CONTEXT_TOO_LONG, model=question.model)
        cached, written = self._cache.look(account.fingerprint, question)
        text, finish = brain.answer(question), Finish.STOP
        if rule is not None:
            text, finish = spoil(rule.kind, text)
        reasoning = question.reasoning_tokens
        cap = question.max_output_tokens
        if cap is not None and reasoning + count(text) > cap:
            reasoning = min(reasoning, cap)
            text, finish = cut(text, cap - reasoning), Finish.LENGTH
        usage = Usage(
            input=prompt - cached - written,
            cached_input=cached,
            cache_write=written,
            output=reasoning + count(text),
            reasoning=reasoning,
        )
        charged = cap if account.charge is Charge.MAX_OUTPUT and cap is not None else usage.output
        if metered:
            self._meter.admit(account, question.model, prompt + charged)
        self._cache.keep(account.fingerprint, question)
        return Answer(text=text, usage=usage, finish=finish)

    def _book(self, entry: Entry, status: int | None, usage: Usage | None) -> None:
        """Book what is decided; with a usage, a model ran."""
        entry.status = status
        if usage is not None:
            entry.served, entry.usage = True, usage
        self.books.write(entry)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    def _reading(self, exchange: _Exchange) -> Reading | None:
        account, entry = exchange.account, exchange.entry
        if account is None or entry.model is None or entry.reason == Reason.MODEL_NOT_FOUND.value:
            return None
        return self._meter.read(account, entry.model)
