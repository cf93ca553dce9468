"""Celery's side: the consumer says that it turns, whichever pool runs the jobs."""

from collections.abc import Callable
from typing import Any

from celery import bootsteps

from workers.health.pulse import Heart, Part, Stage

#: Seconds between two signs of life.
EVERY = 1.0


def consuming(heart: Heart) -> type[bootsteps.StartStopStep]:
    """A step of Celery's consumer that tells a heart of it."""

    class Consuming(bootsteps.StartStopStep):
        """Starts last, when jobs are taken; stops first, when the broker is lost."""

        requires = ("celery.worker.consumer.heart:Heart", "celery.worker.consumer.tasks:Tasks")

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            parent.ensure_connected = _beating(parent.ensure_connected, heart)

        def start(self, _parent: Any) -> None:
            heart.beat(Part.CONSUMER)
            heart.enter(Stage.CONSUMING)

        def stop(self, _parent: Any) -> None:
            heart.enter(Stage.RECONNECTING)

        def register_with_event_loop(self, _parent: Any, hub: Any) -> None:
            """Among the entries that Celery drops with the connection, so that there is never a second one."""
            hub.call_repeatedly(EVERY, heart.beat, Part.CONSUMER)

    return Consuming


def _beating(ensure_connected: Callable[[Any], Any], heart: Heart) -> Callable[[Any], Any]:
    """The same, with a sign of life at each try to reach the broker and each second between two."""

    def ensure(connection: Any) -> Any:
        ensure_connection = connection.ensure_connection

        def beating(errback: Any, retries: Any, *, callback: Callable[[], object]) -> Any:
            def each() -> None:
                heart.beat(Part.CONSUMER)
                callback()

            return ensure_connection(errback, retries, callback=each)

        heart.beat(Part.CONSUMER)
        connection.ensure_connection = beating
        try:
            return ensure_connected(connection)
        finally:
            del connection.ensure_connection

    return ensure
