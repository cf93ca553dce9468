"""Takes deliveries from the outbox and posts them; runs in every worker process.

claim ─► event: one delivery for each webhook that takes it
      └► message: address and secrets ─► sign ─► post ─► delivered | tried again later | given up
"""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import SecretStr
from redis import RedisError

from config.connections.paths import ACCOUNTS, PROJECTS
from config.errors import ConfigError
from tasks.contract.events import Event
from workers.alerts import Alert, AlertKind
from workers.clock import Clock
from workers.notify.events import Events
from workers.notify.outbox import EVENTS_TARGET, Delivery, Outbox
from workers.notify.posting import Posting
from workers.notify.signing import signed_headers
from workers.notify.subscriptions import Signed, Subscriptions

#: Seconds between two looks into the outbox while nothing is due.
_TICK: Final = 1.0
#: Seconds that a delivery is held beyond the time that its receiver may take.
_SLACK: Final = 15.0
#: Tries beyond all that count, of a delivery that no worker brings to an end, before it is given up.
_UNFINISHED: Final = 5
#: Deliveries to one receiver at once, by all workers together.
_PER_TARGET: Final = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receiver:
    """Where a delivery goes, and what signs it."""

    url: str
    secrets: Sequence[SecretStr]


class Deliverer:
    """Empties the outbox. One per process; everything it needs is given to it."""

    def __init__(
        self,
        *,
        events: Events,
        outbox: Outbox,
        subscriptions: Subscriptions,
        poster: Posting,
        clock: Clock,
        backoff: Sequence[float],
        places: int,
        seconds: float,
        per_target: int = _PER_TARGET,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take everything that deliveries need.

        Args:
            events: whose windows are ended here, and who is told of receivers that are gone.
            outbox: holds the deliveries.
            subscriptions: addresses, secrets, and who subscribes to what.
            poster: posts.
            clock: dates signatures.
            backoff: seconds before each further try; after the last, a delivery is given up.
            places: deliveries in hand at once in this process.
            seconds: how long a receiver may take for its answer.
            per_target: deliveries to one receiver at once, by all workers together.
            sleep: waits so many seconds.
        """
        self._events = events
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._poster = poster
        self._clock = clock
        self._backoff = backoff
        self._places = places
        self._lease = seconds + _SLACK
        self._per_target = per_target
        self._sleep = sleep
        self._in_hand: set[asyncio.Task[None]] = set()

    async def run_forever(self) -> None:
        """Deliver until it is cancelled; what is then in hand is sent again by others."""
        while True:
            try:
                await self._events.close_windows()
                started = await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it was: without this loop, nothing is delivered
                _log.warning("outbox_not_read", error=type(error).__name__)
                started = 0
            self._subscriptions.sweep()
            if not started or len(self._in_hand) >= self._places:
                await self._rest()

    async def start(self) -> int:
        """Take what is due and start sending it, as far as there are places; how many were taken.

        Raises:
            redis.RedisError: the outbox cannot be read.
        """
        free = self._places - len(self._in_hand)
        if free <= 0:
            return 0
        claimed = await self._outbox.claim(
            owner=uuid.uuid4().hex, lease=self._lease, limit=free, per_target=self._per_target
        )
        for delivery in claimed:
            task = asyncio.create_task(self._carry_out(delivery))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)
        return len(claimed)

    async def finish(self) -> None:
        """Wait for what is in hand."""
        while self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _rest(self) -> None:
        """Until something that is in hand is done, which makes a place or lets the next to its receiver; or a tick."""
        tick = asyncio.ensure_future(self._sleep(_TICK))
        try:
            await asyncio.wait({tick, *self._in_hand}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tick.cancel()

    async def _carry_out(self, delivery: Delivery) -> None:
        try:
            if delivery.tries > len(self._backoff) + _UNFINISHED:
                await self._give_up(delivery, f"workers came to no end with it in {delivery.tries - 1} tries")
            elif delivery.target == EVENTS_TARGET:
                await self._hand_on(delivery)
            else:
                await self._deliver(delivery)
        except RedisError as error:
            # It is not known what was noted: the lease lapses, and it is sent again.
            _log.warning("delivery_not_noted", message=delivery.message, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - one delivery that cannot be read must not end the loop
            _log.exception("delivery_failed_unexpectedly", message=delivery.message, error=type(error).__name__)

    async def _hand_on(self, delivery: Delivery) -> None:
        """One delivery for each webhook that takes the event. Done twice, it changes nothing."""
        event = Event.model_validate_json(delivery.body)
        try:
            takers = await self._subscriptions.takers(project=event.project, account=event.account, kind=delivery.kind)
        except ConfigError as error:
            await self._not_delivered(delivery, f"who subscribes cannot be read: {error}")
            return
        body = event.model_dump_json(exclude_none=True)
        for webhook in takers:
            fields = {"project": delivery.project, "kind": delivery.kind, "message": event.id, "body": body}
            await self._outbox.put(delivery_id(event.id, webhook.path), target=webhook.path, fields=fields)
        await self._outbox.delivered(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        if delivery.gone is not None:
            await self._outbox.give_up(delivery, cause=delivery.gone)
            return
        try:
            receiver = await self._receiver(delivery)
        except ConfigError as error:
            await self._not_delivered(delivery, f"the receiver's address and secret cannot be read: {error}")
            return
        if isinstance(receiver, str):
            await self._give_up(delivery, receiver)
            return
        headers = signed_headers(
            receiver.secrets, message_id=delivery.message, at=self._clock.now(), body=delivery.body
        )
        posted = await self._poster.post(receiver.url, body=delivery.body, headers=headers)
        if posted.problem is None:
            await self._outbox.delivered(delivery)
            _log.debug("delivered", message=delivery.message, target=delivery.target, tries=delivery.tries)
        elif posted.gone and delivery.url is None:
            await self._disable(delivery)
        elif posted.gone or posted.final:
            await self._give_up(delivery, posted.problem)
        else:
            await self._not_delivered(delivery, posted.problem)

    async def _receiver(self, delivery: Delivery) -> _Receiver | str:
        """Where it goes, or why it goes nowhere."""
        if delivery.url is not None:
            signer = await self._subscriptions.signer(delivery.project)
            if signer is None or not signer.secrets:
                return no_signer(delivery.project)
            return _Receiver(url=delivery.url, secrets=signer.secrets)
        scope, _, name = delivery.target.rpartition("/webhooks/")
        signed: Signed | None = await self._subscriptions.signed(scope, name)
        if signed is None or signed.webhook.url is None:
            return "the webhook was removed"
        if not signed.webhook.enabled:
            return "the webhook is switched off"
        if not signed.secrets:
            return "the webhook has no secret in the store; make one with: byom webhook rotate"
        return _Receiver(url=signed.webhook.url, secrets=signed.secrets)

    async def _not_delivered(self, delivery: Delivery, cause: str) -> None:
        """Another try later, or the end of all tries."""
        if delivery.tries > len(self._backoff):
            await self._give_up(delivery, cause)
            return
        seconds = self._backoff[delivery.tries - 1]
        await self._outbox.retry(delivery, cause=cause, seconds=seconds)
        _log.info("delivery_put_off", message=delivery.message, target=delivery.target, cause=cause, seconds=seconds)

    async def _give_up(self, delivery: Delivery, cause: str) -> None:
        await self._outbox.give_up(delivery, cause=cause)
        _log.warning("delivery_given_up", message=delivery.message, target=delivery.target, cause=cause)

    async def _disable(self, delivery: Delivery) -> None:
        """The receiver wants no more: no other delivery needs to find that out."""
        scope, _, name = delivery.target.rpartition("/webhooks/")
        of = "--project" if scope.startswith(PROJECTS) else "--account"
        owner = scope.rsplit("/", 1)[1]
        mend = f"when it is to get events again: byom webhook enable {name} {of} {owner}"
        if not await self._outbox.gone(delivery, cause=f"answered 410: it wants no more; {mend}"):
            return
        await self._events.raise_alert(
            Alert(
                kind=AlertKind.WEBHOOK_DISABLED,
                at=self._clock.now(),
                message=f"webhook '{name}' of {of[2:]} '{owner}' answered 410 and gets no more events; {mend}",
                project=owner if scope.startswith(PROJECTS) else None,
                account=owner if scope.startswith(ACCOUNTS) else None,
                webhook=name,
            )
        )


def delivery_id(message: str, target: str) -> str:
    """Names one message for one receiver."""
    return f"{message}@{hashlib.sha256(target.encode()).hexdigest()[:12]}"


def no_signer(project: str) -> str:
    """Why the callback of a project's job cannot be posted."""
    return (
        f"project '{project}' has no secret that could sign callbacks; make one with: "
        f"byom webhook secret --project {project}"
    )
