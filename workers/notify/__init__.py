"""What the pool tells of its own accord: events, webhooks, and the callbacks of jobs."""

from .callbacks import CallbackCheck
from .deliverer import Deliverer
from .events import Events
from .opening import open_events
from .outbox import Limits, Outbox, OutboxReader
from .posting import Poster, build_poster
from .reading import EventReader
from .subscriptions import Subscriptions

__all__ = [
    "CallbackCheck",
    "Deliverer",
    "EventReader",
    "Events",
    "Limits",
    "Outbox",
    "OutboxReader",
    "Poster",
    "Subscriptions",
    "build_poster",
    "open_events",
]
