"""kombu's Redis transport without its loss window.

kombu pops a message with BRPOP and registers it as unacknowledged in a second command; a worker killed in between
loses it. Here one script does both (`fetch.lua`). A script cannot block, so when there was nothing to fetch the next
fetch is sent right behind a short blocking command on a key that is normally empty: the server does the waiting,
without timers and without a busy loop. Publishing through this transport fills that key, so that a waiting worker
wakes at once; messages of other producers wait for `idle_wait` at most.

Queues, messages and entries of unacknowledged messages keep kombu's formats: stock producers and consumers may share
the queues.
"""

from queue import Empty
from time import monotonic
from typing import Any, cast

import redis
import structlog
from kombu.transport import redis as stock
from kombu.utils.json import loads
from redis.exceptions import NoScriptError

from workers.broker.message import FETCHED, Fetched, Malformed, Message
from workers.broker.qos import QoS
from workers.broker.renewal import Renewal
from workers.broker.unacked import KEYS, Keys, Unacked
from workers.lanes.control import Lanes
from workers.lanes.entering import Entry
from workers.lanes.keys import WAKE_KEY

_log = structlog.get_logger(__name__)

#: Messages that one fetch brings at most; each takes the server some 100 µs, in which it does nothing else.
_AT_ONCE = 8

#: How the queues end that answers to Celery's broadcasts go to, and seconds that these are kept. Whoever asked deletes
#: its queue when it has waited long enough; what a worker answers after that would stay for ever.
_REPLIES = ".reply.celery.pidbox"
_REPLIES_KEPT = 30

#: What is overridden here and not part of kombu's public API. Were it renamed, messages would be fetched without
#: being registered; better not to start.
_OVERRIDDEN = ("_brpop_read", "_brpop_start", "_get", "_poll_error", "_put", "conn_or_acquire")
_MISSING = [name for name in _OVERRIDDEN if not hasattr(stock.Channel, name)]
if _MISSING:
    raise ImportError(f"this kombu is not supported: its Redis channel has no {', '.join(_MISSING)}; install kombu 5.7")


class Channel(stock.Channel):
    """A channel that fetches and registers in one step, and renews what it holds.

    Options beyond kombu's, given as transport options: `idle_wait`, `renewal_limit`, `wake_key`, `malformed_key`,
    `backfill_floor`.
    """

    QoS = QoS
    Message = Message
    from_transport_options = (
        *stock.Channel.from_transport_options,
        "idle_wait",
        "renewal_limit",
        "wake_key",
        "malformed_key",
        "backfill_floor",
    )

    #: Seconds that the server holds an idle worker's fetch: the most that a message of a stock producer waits.
    idle_wait: float = 0.1
    #: Seconds after which a message is renewed no more, held or not: a job that got stuck runs again elsewhere.
    renewal_limit: float = 3_600
    #: Share of backfill in what is served while live jobs wait too.
    backfill_floor: float = 0.05
    unacked_key = KEYS.unacked
    unacked_index_key = KEYS.index
    wake_key: str = WAKE_KEY
    malformed_key: str = KEYS.malformed

    # kombu's own, which its type stubs leave out.
    _brpop_sent_at: float
    _create_client: Any
    _flush_brpop_reauth: Any
    _in_poll: Any
    _q_for_pri: Any
    _queue_cycle: Any
    connection_errors: tuple[type[Exception], ...]

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        options = connection.client.transport_options
        if options.get("global_keyprefix") or not options.get("ack_emulation", True):
            raise ValueError("global_keyprefix and ack_emulation=False are not supported; use a database of its own")
        self._unacknowledging: set[str] = set()
        self._empty_handed = False
        self._script_loaded = False
        self._replies = 1
        self._acknowledging: list[str] = []
        self._renewal: Renewal | None = None
        self._lost = False
        super().__init__(connection, **kwargs)
        # One client for all commands of this channel, which outlives it: jobs that run on after the connection was
        # lost are acknowledged through it.
        self._commands: redis.Redis = self._create_client()
        self.unacked = Unacked(
            self._commands,
            Keys(unacked=self.unacked_key, index=self.unacked_index_key, malformed=self.malformed_key),
            wake_key=self.wake_key,
        )
        self.lanes = Lanes(self._commands, wake_key=self.wake_key)

    @property
    def renewal_interval(self) -> float:
        """Seconds between renewals; three may fail before a message expires."""
        return self.visibility_timeout / 4

    def conn_or_acquire(self, client: Any | None = None) -> Any:
        """The client for commands, as a context."""
        return _Lent(client or getattr(self, "_commands", None) or self._create_client())

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; messages that will be acknowledged are registered and renewed."""
        if kwargs.get("no_ack", args[0] if args else False):
            self._unacknowledging.add(queue)
        else:
            self._unacknowledging.discard(queue)
            if self._renewal is None:
                self._renewal = Renewal(cast("QoS", self.qos).renew, interval=self.renewal_interval)
                self._renewal.start()
        return super().basic_consume(queue, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        """Fetch one message now, or None."""
        message = super().basic_get(queue, no_ack=False, **kwargs)
        if message is not None and no_ack:
            message.ack()
        return message

    def lose(self) -> None:
        """Take leave of a lost connection without handing back what is still being worked on.

        kombu would put all held messages back and forget them, although the jobs run on: each would run twice. They
        stay registered and renewed until they are acknowledged, which needs no particular connection.
        """
        self._lost = True
        self._in_poll = None
        if self._qos is not None:
            cast("QoS", self._qos).outlive_channel()
        if self._renewal is not None:
            self._renewal.finish()

    def close(self) -> None:
        """Close; what is held goes back to its queues, unless the connection was lost."""
        try:
            if self._qos is not None and not self.closed:
                cast("QoS", self._qos).settle()
            super().close()
        except self.connection_errors:
            if not self._lost:
                raise
        finally:
            if not self._lost:
                if self._renewal is not None:
                    self._renewal.stop()
                self._commands.connection_pool.disconnect()

    def _fetch(self, queues: list[str], unacknowledging: set[str], *, most: int) -> tuple[Any, ...]:
        keys = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        named = [(queue, queue not in unacknowledging) for queue in queues]
        return self.unacked.fetch_arguments(keys, named, backfill_floor=self.backfill_floor, most=most)

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 - kombu's signature
        count, *rest = self._fetch([queue], set(), most=1)
        replies = self.unacked.fetch_script(keys=rest[:count], args=rest[count:])
        message = self._read(*replies[0]) if replies else None
        if message is None:
            raise Empty
        return message

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 - kombu's signature
        """Send the next fetch; behind a short wait if the last one brought nothing.

        It asks for no more than there are places for. Acknowledgements that are to be sent go with it.
        """
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        qos = cast("QoS", self.qos)
        places = qos.can_consume_max_estimate()
        script = self.unacked.fetch_script
        arguments = self._fetch(
            queues, self._unacknowledging, most=_AT_ONCE if places is None else min(places, _AT_ONCE)
        )
        fetch = ("EVALSHA", script.sha) if self._script_loaded else ("EVAL", script.script)
        commands: list[tuple[Any, ...]] = []
        self._acknowledging = qos.take_gathered()
        if self._acknowledging:
            commands.append(self.unacked.settle_command(self._acknowledging))
        if self._empty_handed:
            commands.append(("BLPOP", self.wake_key, self.idle_wait))
        commands.append((*fetch, *arguments))
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        self._replies = len(commands)
        connection.send_packed_command(connection.pack_commands(commands))

    def _brpop_read(self, **_options: Any) -> bool:
        """Read what the fetch brought and deliver it.

        Raises:
            queue.Empty: it brought nothing.
        """
        replies = self._read_replies()
        self._empty_handed = not replies
        if not replies:
            raise Empty
        error: Exception | None = None
        for reply in replies:
            try:
                self._deliver(*reply)
            except Exception as caught:  # noqa: BLE001 - the others were fetched, too, and are in nobody else's hands
                error = error or caught
        if error is not None:
            raise error
        return True

    def _deliver(self, queue: bytes, *reply: bytes) -> None:
        message = self._read(queue, *reply)
        if message is None:
            return
        name = queue.decode()
        self._queue_cycle.rotate(name)
        try:
            cast("Any", self.connection)._deliver(message, name)  # noqa: SLF001 - as kombu's channel does
        except Malformed:
            self._set_aside(queue, *reply)

    def _read_replies(self) -> Any:
        connection = self.client.connection
        reply = None
        try:
            for _ in range(self._replies):
                reply = None
                reply = connection.read_response()
            self._script_loaded = True
        except NoScriptError:
            # The server was restarted, or is another one than before; the next fetch brings the script along. It is the
            # last command: those before it went well.
            self._script_loaded = False
        except BaseException:
            # A reply may still be under way; nothing else may read it in place of its own.
            self._acknowledging = []
            connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if self._acknowledging:
            cast("QoS", self.qos).settled(self._acknowledging)
            self._acknowledging = []
        return reply

    def _poll_error(self, type: str, **_options: Any) -> None:  # noqa: A002 - kombu's signature
        if type == "LISTEN":
            self.subclient.parse_response()
        else:
            self._read_replies()

    def _read(
        self, queue: bytes, message: bytes | None = None, tag: bytes | None = None, told: bytes | None = None
    ) -> Any:
        """The message as kombu's dictionary; None if it cannot be read, which sets it aside."""
        if message is not None:
            try:
                payload = loads(message)
                payload[FETCHED] = Fetched(queue.decode(), None if told is None else loads(told))
            except (RecursionError, TypeError, ValueError):
                pass
            else:
                return payload
        self._set_aside(queue, message, tag)
        return None

    def _set_aside(
        self, queue: bytes, message: bytes | None = None, tag: bytes | None = None, _told: bytes | None = None
    ) -> None:
        if message is not None and tag is not None:
            self.unacked.quarantine(tag.decode(), message)
        _log.error("a message that is not Celery's was set aside", queue=queue.decode(), kept_in=self.malformed_key)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        """Publish to the lane of the message on this queue, if it names one, else to the queue itself."""
        batch = kwargs.get("_publish_batch")
        entry = Entry.of(message, queue=queue)
        if entry is not None:
            self.lanes.put(entry, batch=batch)
            return
        if batch is not None:
            super()._put(queue, message, **kwargs)
            return
        with self._commands.pipeline(transaction=False) as pipeline:
            kwargs["_publish_batch"] = _Collected(pipeline)
            super()._put(queue, message, **kwargs)
            # Wakes a worker that waits.
            pipeline.lpush(self.wake_key, "")
            pipeline.ltrim(self.wake_key, 0, 0)
            if queue.endswith(_REPLIES):
                pipeline.expire(queue, _REPLIES_KEPT)
            pipeline.execute()

    def _size(self, queue: str) -> int:
        """Messages that wait in a queue, those in its lanes among them."""
        return int(super()._size(queue)) + self.lanes.jobs_in(queue)

    def _purge(self, queue: str) -> int:
        """Throw away what waits in a queue, its lanes included."""
        return int(super()._purge(queue)) + self.lanes.clear(queue)


class _Lent:
    """A client that is used and left open; lighter than a generator on a path that every message takes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        return None


class _Collected:
    """Takes the commands of one publication in place of kombu's batch."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def add(self, name: str, *args: Any) -> None:
        """One command."""
        getattr(self._pipeline, name)(*args)


class _Poller(stock.MultiChannelPoller):
    """Looks after the connections of one event loop."""

    _channels: Any

    def on_poll_start(self) -> None:
        """Before the loop waits: send fetches, and the acknowledgements that did not go with one."""
        super().on_poll_start()
        for channel in self._channels:
            if channel._qos is not None:  # noqa: SLF001 - looked at, and not made
                channel._qos.settle()  # noqa: SLF001 - as above


class Transport(stock.Transport):
    """The transport; see the module."""

    Channel = Channel

    # kombu's own, which its type stubs leave out or call optional.
    _avail_channels: list[Any]
    channels: list[Any]

    #: Whether an event loop looks after this connection, which sends what has gathered at each of its turns.
    has_loop: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = _Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let an event loop look after this connection."""
        super().register_with_event_loop(connection, loop)
        self.has_loop = True

    def _collect(self, connection: Any) -> None:
        """Drop a connection that was lost; kombu looks for this method before it closes one in good order."""
        for channel in (*self._avail_channels, *self.channels):
            channel.lose()
        self.close_connection(connection)
