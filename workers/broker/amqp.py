"""What the app uses in place of Celery's defaults to reach the broker and to make messages."""

from typing import Any

import kombu
from celery.app import amqp as stock
from kombu.connection import ConnectionPool, PooledConnection

from workers.broker.describe import describe
from workers.broker.transport import Transport


class Connection(kombu.Connection):
    """A connection that takes `redis://` and `rediss://` to the pool's own transport.

    Chosen here and not by the `broker_transport` setting: that would replace the scheme in the connection's URL, by
    which Flower picks its broker view, and kombu's defaults for TLS.
    """

    def get_transport_cls(self) -> Any:
        """The transport of this connection's scheme."""
        return Transport if self.transport_cls in {"redis", "rediss"} else super().get_transport_cls()

    def Pool(self, limit: int | None = None, **_options: Any) -> ConnectionPool:  # noqa: N802 - kombu's name
        """A pool of connections of this class."""
        return _Pool(self, limit)


class _Pooled(PooledConnection, Connection):  # type: ignore[misc]  # the stub denies that one derives from the other
    """A connection that goes back to its pool."""


class _Pool(ConnectionPool):
    """kombu's pool makes connections of kombu's class, whatever it was asked for."""

    def new(self) -> Any:
        """One more connection."""
        return _Pooled(self, **dict(self.connection._info(resolve=False)))  # noqa: SLF001 - as kombu's pool does


class AMQP(stock.AMQP):
    """Makes connections of the above kind, and messages whose reprs can be shown."""

    Connection = Connection
    BrokerConnection = Connection

    def as_task_v2(
        self, task_id: str, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> stock.task_message:
        """A task message; what it shows of its arguments is made here, and costs less than Celery's own."""
        if options.get("argsrepr") is None:
            options["argsrepr"] = "()"
        if options.get("kwargsrepr") is None:
            options["kwargsrepr"] = describe(name, task_id, args or (), kwargs or {})
        return super().as_task_v2(task_id, name, args, kwargs, *rest, **options)
