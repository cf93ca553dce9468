"""Traces of jobs, from enqueue through every delivery and attempt to the result; optional, and off unless asked for."""

from .base import Delivered, Server, TraceContext, Tracing
from .conclusion import Conclusion
from .opening import open_tracing
from .untraced import NO_TRACING, NoTracing

__all__ = [
    "NO_TRACING",
    "Conclusion",
    "Delivered",
    "NoTracing",
    "Server",
    "TraceContext",
    "Tracing",
    "open_tracing",
]
