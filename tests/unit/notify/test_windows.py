"""Windows: folded in Redis by all workers, each told exactly once."""

import asyncio
import json
from typing import Any, cast

import pytest
import redis.asyncio

from tasks.contract.events import Event, EventKind, Folded
from tests.notify import Bench, Server, make_bench, record
from workers.notify.events import EVENTS_KEY
from workers.notify.folding import Occurrence, occurrence_of
from workers.notify.outbox import EVENTS_TARGET


@pytest.fixture
def here(server: Server) -> Bench:
    return make_bench(server)


def occurrence(status: str = "rate_limited", **changes: Any) -> Occurrence:
    found = occurrence_of(record(status, **changes))
    assert found is not None
    return found


async def told(client: "redis.asyncio.Redis") -> list[Event]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await client.xrange(EVENTS_KEY))
    return [Event.model_validate_json(fields[b"event"]) for _, fields in entries]


def folded(event: Event) -> Folded:
    assert isinstance(event.data, Folded)
    return event.data


async def test_a_thousand_failures_in_a_window_are_one_event(here: Bench) -> None:
    start = here.moment.at
    await here.events.count(occurrence("provider_timeout"))
    here.moment.pass_by(20)
    await asyncio.gather(*(here.events.count(occurrence("provider_unavailable")) for _ in range(998)))
    here.moment.pass_by(39.5)
    await here.events.count(occurrence("provider_timeout"))
    last = here.moment.at
    assert await here.events.close_windows() == 0
    here.moment.pass_by(0.5)
    assert await here.events.close_windows() == 1

    (event,) = await told(here.client)
    data = folded(event)
    assert (event.type, data.error_code) == (EventKind.REQUEST_FAILED, "BYOM_PROVIDER_UNAVAILABLE")
    assert (data.account, data.project, data.provider, data.model) == ("acme-inc", "acme", "openai", "gpt-6-luna")
    assert (data.count, data.window_seconds) == (1_000, 60)
    assert data.causes == {"provider_timeout": 2, "provider_unavailable": 998}
    assert (data.first_occurrence, data.last_occurrence) == (start, last)
    assert event.timestamp == here.moment.at
    assert await here.events.close_windows() == 0


async def test_project_provider_model_kind_and_code_have_windows_of_their_own(here: Bench) -> None:
    different: list[dict[str, Any]] = [{}, {"project": "globex"}, {"provider": "gemini"}, {"model": "other"}]
    for changes in different:
        await here.events.count(occurrence(**changes))
    for status in ("credential_rejected", "credential_expired", "provider_unavailable", "model_not_found"):
        await here.events.count(occurrence(status))
    await here.events.count(occurrence("permission_denied"))
    here.moment.pass_by(60)

    assert await here.events.close_windows() == 8
    counts = [folded(event).count for event in await told(here.client)]
    assert sorted(counts) == [1, 1, 1, 1, 1, 1, 1, 2]


async def test_an_occurrence_at_the_very_end_of_a_window_belongs_to_the_next(here: Bench) -> None:
    await here.events.count(occurrence())
    here.moment.pass_by(59.999)
    await here.events.count(occurrence())
    here.moment.pass_by(0.001)
    await here.events.count(occurrence())

    (first,) = await told(here.client)
    assert folded(first).count == 2
    here.moment.pass_by(59.999)
    assert await here.events.close_windows() == 0
    here.moment.pass_by(0.001)
    assert await here.events.close_windows() == 1
    assert [folded(event).count for event in await told(here.client)] == [2, 1]


async def test_the_next_occurrence_ends_a_window_that_nobody_looked_after(here: Bench) -> None:
    await here.events.count(occurrence())
    here.moment.pass_by(7_200)
    await here.events.count(occurrence())

    (event,) = await told(here.client)
    assert folded(event).count == 1
    # It is dated by its end, not by when somebody came round to it.
    assert (here.moment.at - event.timestamp).total_seconds() == 7_200 - 60


async def test_many_workers_count_in_one_window_and_end_it_once(here: Bench, server: Server) -> None:
    others = [here, *(make_bench(server) for _ in range(4))]
    for other in others:
        other.events._now = here.moment
    await asyncio.gather(*(one.events.count(occurrence()) for one in others for _ in range(40)))
    here.moment.pass_by(60)

    # All end it at once, while others count on.
    ended = await asyncio.gather(
        *(one.events.close_windows() for one in others), *(one.events.count(occurrence()) for one in others)
    )
    here.moment.pass_by(60)
    await asyncio.gather(*(one.events.close_windows() for one in others))

    assert sum(count for count in ended if count) <= 1
    assert [folded(event).count for event in await told(here.client)] == [200, 5]
    assert len({event.id for event in await told(here.client)}) == 2


async def test_an_ended_window_is_in_the_outbox_in_the_same_step(here: Bench) -> None:
    """So a worker that dies right after it loses no event."""
    await here.events.count(occurrence())
    here.moment.pass_by(60)
    await here.events.close_windows()

    (event,) = await told(here.client)
    (delivery,) = await here.outbox.claim(owner="o", lease=30, limit=10, per_target=4)
    assert (delivery.target, delivery.message, delivery.kind) == (EVENTS_TARGET, event.id, "byom.rate_limited")
    assert Event.model_validate_json(delivery.body) == event


async def test_counting_is_one_command_and_commands_go_out_together(here: Bench) -> None:
    sent: list[Any] = []
    execute = here.events._count._pipelining._exchange

    async def exchange(batch: Any) -> None:
        sent.append(len(batch))
        await execute(batch)

    await here.events.count(occurrence())
    here.events._count._pipelining._exchange = exchange  # type: ignore[method-assign]
    await asyncio.gather(*(here.events.count(occurrence()) for _ in range(50)))

    assert sent == [50]


async def test_without_a_time_of_its_own_a_window_goes_by_the_servers_clock(server: Server) -> None:
    here = make_bench(server)
    here.events._now = None
    await here.events.count(occurrence())

    (name,) = server.sync.zrange("byom:events:open", 0, -1)
    first = int(server.sync.hget(f"byom:events:window:{name.decode()}", "first"))
    seconds, _ = server.sync.time()
    assert abs(first / 1000 - seconds) < 5


async def test_nothing_is_left_of_a_window_that_was_told(here: Bench) -> None:
    await here.events.count(occurrence())
    here.moment.pass_by(60)
    await here.events.close_windows()

    assert [key async for key in here.client.scan_iter("byom:events:*")] == []


async def test_names_that_need_escaping_come_through(here: Bench) -> None:
    model = 'odd "model"/ü\\n'
    await here.events.count(occurrence(model=model))
    here.moment.pass_by(60)
    await here.events.close_windows()

    (event,) = await told(here.client)
    assert folded(event).model == model
    assert json.loads(event.model_dump_json())["data"]["model"] == model
