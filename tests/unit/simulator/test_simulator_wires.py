"""What the core relies on, for every wire format that is mounted."""

import json
import random
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from workers.embedded.simulator import MOUNTS, Mount, Reason
from workers.embedded.simulator.exchange import Incoming, LimitHit, Metered, Receipt, Rejection
from workers.embedded.simulator.meter import Gauge, Reading
from workers.embedded.simulator.server import Router

ROUTES = [(mount, route) for mount in MOUNTS for route in mount.wire.routes]
#: Content type → what reads it.
_READERS: dict[str, Callable[[bytes], object]] = {
    "application/json": json.loads,
    "text/html": bytes.strip,
    "text/xml": lambda body: ET.fromstring(body).tag,  # noqa: S314 - our own
}
READING = Reading(
    requests=Gauge(limit=60, remaining=59, reset=1.0), tokens=Gauge(limit=6_000, remaining=5_000, reset=10.0)
)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: type(mount.wire).__name__)
def test_every_error_has_words_of_the_vendor(mount: Mount, reason: Reason) -> None:
    hit = LimitHit(metered=Metered.TOKENS, limit=6_000, used=5_900, requested=200)
    for rejection in (Rejection(reason), Rejection(reason, model="m", retry_after=1.5, hit=hit, status=418, code="c")):
        outgoing = mount.wire.reject(rejection, Incoming(method="POST", path="/x"))

        assert outgoing.status >= 400
        assert rejection.status in {None, outgoing.status}
        assert _READERS[outgoing.content_type](outgoing.body)


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: type(mount.wire).__name__)
def test_headers_are_plain_text_with_and_without_limits(mount: Mount) -> None:
    receipt = Receipt(request_id=f"req_{random.Random(1).getrandbits(128):032x}", created=0.0)  # noqa: S311 - an id

    for reading in (None, READING):
        headers = mount.wire.headers(receipt, reading, 0.01)
        assert all(value.isascii() and "\n" not in value for value in headers.values())


def test_no_two_wire_formats_claim_one_path() -> None:
    claimed = [(route.method, mount.prefix + route.path) for mount, route in ROUTES]

    assert len(claimed) == len(set(claimed))


@pytest.mark.parametrize(("mount", "route"), ROUTES, ids=lambda value: getattr(value, "path", ""))
def test_every_route_is_found(mount: Mount, route: object) -> None:
    method, path = getattr(route, "method", ""), getattr(route, "path", "")
    found = Router(MOUNTS).find(method, mount.prefix + path.replace("{", "").replace("}", ""))

    assert found is not None
    assert found[:2] == (mount, route)
