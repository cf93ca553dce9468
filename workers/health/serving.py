"""`/healthz` and `/readyz`, beside whatever else a process serves."""

import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from workers.health.judging import Health, judge
from workers.health.pulse import Heart

#: Path → what is asked there.
ASKED: dict[str, Callable[[Health], bool]] = {
    "/healthz": lambda health: health.live,
    "/readyz": lambda health: health.ready,
}


def with_health(app: WSGIApplication, heart: Heart, *, now: Callable[[], float] = time.monotonic) -> WSGIApplication:
    """The same application, which also answers how the worker is: 200 or 503, and in the body what is wrong.

    Args:
        app: answers all else.
        heart: of this process.
        now: the heart's clock.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_well: Any = ASKED.get(environ.get("PATH_INFO", ""))
        if is_well is None:
            return app(environ, start_response)
        health = judge(heart.pulse(), now=now())
        status = "200 OK" if is_well(health) else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [health.model_dump_json().encode() + b"\n"]

    return serve
