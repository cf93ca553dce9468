"""Check of traces: whether what is wanted can be sent, and whether somebody is there to take it."""

import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import httpx

from config.settings import Settings
from workers.tracing.opening import problem_of, receiver_of

from .base import Check, fail, ok, warn

_NAME = "traces"


def check_tracing(
    client: httpx.Client, settings: Settings, *, environ: Mapping[str, str] = os.environ
) -> Iterator[Check]:
    """Nothing is said where nobody wants traces."""
    receiver = receiver_of(settings, environ)
    if receiver is None:
        return
    problem = problem_of(receiver, environ)
    if problem is not None:
        # With our own setting no worker starts; with everybody's it works, and traces nothing.
        yield (fail if receiver.is_own else warn)(_NAME, problem.found, problem.mend)
        return
    url = receiver.endpoint or environ[receiver.variable]
    parts = urlsplit(url)
    where = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    try:
        # Any answer will do: receivers ask for what only the SDK knows to send.
        client.get(url)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        yield warn(
            _NAME,
            f"{where} does not answer ({type(error).__name__}): jobs run, and their traces are lost",
            f"start the receiver, or mend {receiver.variable}",
        )
        return
    yield ok(_NAME, f"sent to {where}")
