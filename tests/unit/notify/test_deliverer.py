"""From an event or an ended job to receivers on this machine, and what becomes of what they do not take."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
import standardwebhooks
import structlog
from aiohttp import web

from config.connections import project_path
from config.errors import StoreError
from config.store import Parameter
from config.webhooks import remove_webhook, rotate_secret, set_enabled, signing_secrets
from tasks.contract.events import Event, EventKind, Happening
from tests.notify import ACCOUNT, BACKOFF, Bench, Server, all_text, failure, make_bench, make_job, record, success
from tests.unit.notify.conftest import Receive
from workers.alerts import Alert, AlertKind
from workers.log import configure_logging


def alert(bench: Bench, kind: AlertKind = AlertKind.BREAKER_OPENED, *, project: str | None = "acme") -> Alert:
    return Alert(kind=kind, at=bench.clock.now(), message="It keeps failing.", account="acme-inc", project=project)


async def test_an_alert_reaches_every_webhook_that_takes_it_signed_with_its_own_secret(
    bench: Bench, receive: Receive
) -> None:
    ours, theirs, jobs, other = [await receive() for _ in range(4)]
    webhooks = [(bench.webhook("ops", ours.url), ours), (bench.webhook("all", theirs.url, scope=ACCOUNT), theirs)]
    bench.webhook("jobs", jobs.url, kinds=("job.*",))
    bench.webhook("ops", other.url, scope=project_path("globex"))

    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    for webhook, receiver in webhooks:
        ((headers, body),) = receiver.got
        event = Event.model_validate(standardwebhooks.Webhook(bench.secret(webhook)).verify(body, headers))
        assert headers["webhook-id"] == event.id
        assert (event.type, event.project) == (EventKind.BREAKER_OPENED, "acme")
        assert event.data == Happening(message="It keeps failing.", account="acme-inc", project="acme")
    assert (jobs.got, other.got) == ([], [])
    assert ours.ids == theirs.ids


async def test_a_webhook_of_the_project_replaces_the_accounts_of_the_same_name(bench: Bench, receive: Receive) -> None:
    own, inherited = await receive(), await receive()
    bench.webhook("ops", inherited.url, scope=ACCOUNT)
    bench.webhook("ops", own.url)

    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    assert (len(own.got), len(inherited.got)) == (1, 0)


async def test_what_concerns_an_account_as_a_whole_goes_to_its_webhooks_alone(bench: Bench, receive: Receive) -> None:
    own, inherited = await receive(), await receive()
    bench.webhook("own", own.url)
    bench.webhook("all", inherited.url, scope=ACCOUNT)

    await bench.events.raise_alert(alert(bench, AlertKind.BUDGET_WARNING, project=None))
    await bench.deliver()

    assert (len(own.got), len(inherited.got)) == (0, 1)


async def test_many_failures_are_one_post(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    bench.webhook("ops", receiver.url)
    await asyncio.gather(*(bench.events.attempt_made(record("provider_unavailable")) for _ in range(100)))

    bench.moment.pass_by(60)
    await bench.events.close_windows()
    await bench.deliver()

    ((_, body),) = receiver.got
    assert json.loads(body)["data"]["count"] == 100


async def test_a_receiver_that_recovers_gets_it_under_the_same_id(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    receiver.then(500, 503)
    webhook = bench.webhook("ops", receiver.url)
    await bench.events.raise_alert(alert(bench))

    await bench.deliver()
    assert await bench.deliver(29.9) == 0
    await bench.deliver(0.1)
    await bench.deliver(119.9)
    assert len(receiver.got) == 2
    await bench.deliver(0.1)

    assert len(receiver.got) == 3
    assert len(set(receiver.ids)) == 1
    for headers, body in receiver.got:
        standardwebhooks.Webhook(bench.secret(webhook)).verify(body, headers)
    assert list(bench.reader.failed()) == []
    assert bench.reader.waiting(webhook.path) == 0


async def test_after_five_tries_it_is_given_up_and_can_be_sent_again(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    receiver.then(*[500] * 5)
    bench.webhook("ops", receiver.url)
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    for seconds in BACKOFF:
        assert list(bench.reader.failed()) == []
        await bench.deliver(seconds)
    (failed,) = bench.reader.failed("acme")
    assert len(receiver.got) == 5
    assert (failed.tries, failed.cause) == (5, "answered 500")
    assert await bench.deliver(86_400) == 0

    bench.reader.redeliver(failed)
    await bench.deliver()
    assert len(set(receiver.ids)) == 1
    assert len(receiver.got) == 6
    assert list(bench.reader.failed()) == []


async def test_410_switches_the_webhook_off_and_says_so(bench: Bench, receive: Receive) -> None:
    gone, other = await receive(), await receive()
    gone.then(*[410] * 5)
    webhook = bench.webhook("old", gone.url)
    bench.webhook("new", other.url, kinds=("byom.webhook_disabled",))
    for _ in range(3):
        await bench.events.raise_alert(alert(bench))
    await bench.deliver()
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    # Those that were under way at once; none that came later.
    assert len(gone.got) <= 3
    assert bench.reader.gone(webhook.path) is not None
    ((_, body),) = other.got
    event = Event.model_validate_json(body)
    assert isinstance(event.data, Happening)
    assert (event.data.project, event.data.webhook) == ("acme", "old")
    assert "byom webhook enable old --project acme" in event.data.message

    bench.reader.reopen(webhook.path)
    gone.answer = None
    before = len(gone.got)
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()
    assert len(gone.got) == before + 1


async def test_a_slow_receiver_does_not_delay_others(fake: Server, receive: Receive) -> None:
    release = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    slow, quick = await receive(wait), await receive()
    bench = make_bench(fake, places=6, per_target=4)
    bench.webhook("slow", slow.url)
    bench.webhook("quick", quick.url)
    for _ in range(20):
        await bench.events.raise_alert(alert(bench))

    async with asyncio.timeout(10):
        while len(quick.got) < 20:
            await bench.deliverer.start()
            await asyncio.sleep(0)
    assert len(slow.got) <= 4

    release.set()
    await bench.deliverer.finish()
    await bench.deliver()
    await bench.poster.aclose()
    assert len(set(slow.ids)) == 20


async def test_a_webhook_that_was_removed_or_switched_off_meanwhile_gets_nothing(
    bench: Bench, receive: Receive
) -> None:
    receiver = await receive()
    receiver.then(500, 500)
    removed, off = bench.webhook("a", receiver.url), bench.webhook("b", receiver.url)
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()
    remove_webhook(bench.store, removed)
    set_enabled(bench.store, off, enabled=False)
    bench.subscriptions.drop_everything()
    await bench.deliver(30)

    assert len(receiver.got) == 2
    assert {failed.cause for failed in bench.reader.failed()} == {
        "the webhook was removed",
        "the webhook is switched off",
    }


async def test_a_new_address_holds_for_what_waits(bench: Bench, receive: Receive) -> None:
    old, new = await receive(), await receive()
    old.then(500)
    bench.webhook("ops", old.url)
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()
    bench.webhook("ops", new.url)
    await bench.deliver(30)

    assert old.ids == new.ids


async def test_both_secrets_sign_while_one_is_being_replaced(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    webhook = bench.webhook("ops", receiver.url)
    old = bench.secret(webhook)
    now = bench.deliverer._clock.now()
    webhook = rotate_secret(bench.store, webhook, now=now, overlap=timedelta(hours=1))
    bench.subscriptions._clock = bench.deliverer._clock
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    ((headers, body),) = receiver.got
    new, same = (secret.get_secret_value() for secret in signing_secrets(bench.store, webhook, now=now))
    assert same == old
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(body, headers)


async def test_an_event_waits_while_the_store_is_away(
    bench: Bench, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = await receive()
    bench.webhook("ops", receiver.url)

    def away(_path: str, **_options: object) -> Iterator[Parameter]:
        raise StoreError("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "list", away)
        await bench.events.raise_alert(alert(bench))
        await bench.events.job_ended(make_job(), "j", success())
        await bench.deliver()
    assert receiver.got == []
    await bench.deliver(30)

    assert sorted(json.loads(body)["type"] for _, body in receiver.got) == ["byom.breaker_opened", "job.completed"]


async def test_what_was_read_serves_on_while_the_store_is_away(
    bench: Bench, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = await receive()
    bench.webhook("ops", receiver.url)
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    def away(_path: str, **_options: object) -> Iterator[Parameter]:
        raise StoreError("the store does not answer")

    monkeypatch.setattr(bench.store, "list", away)
    monkeypatch.setattr(bench.store, "get", away)
    bench.clock.seconds += 31
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()

    assert len(receiver.got) == 2


async def test_a_worker_that_dies_after_sending_leaves_it_to_the_next_under_the_same_id(
    bench: Bench, receive: Receive
) -> None:
    arrived, never = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        arrived.set()
        await never.wait()
        return web.Response()

    receiver = await receive(hang)
    bench.webhook("ops", receiver.url)
    await bench.events.raise_alert(alert(bench))
    await bench.deliverer.start()
    await bench.deliverer.finish()
    await bench.deliverer.start()
    await arrived.wait()
    for task in bench.deliverer._in_hand:
        task.cancel()
    await bench.deliverer.finish()
    never.set()
    receiver.answer = None

    assert await bench.deliver() == 0
    await bench.deliver(20)
    assert len(receiver.got) == 2
    assert len(set(receiver.ids)) == 1


async def test_a_delivery_that_nobody_can_read_does_not_end_the_loop(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    bench.webhook("ops", receiver.url)
    await bench.outbox.put(
        "bad", target="events", fields={"project": "acme", "kind": "x", "message": "m", "body": "not JSON"}
    )
    await bench.deliver()
    await bench.events.raise_alert(alert(bench))
    await bench.deliver()
    assert len(receiver.got) == 1

    for _ in range(15):
        await bench.deliver(20)
    (failed,) = bench.reader.failed()
    assert failed.cause == "workers came to no end with it in 9 tries"


async def test_the_loop_ends_windows_and_delivers_until_it_is_cancelled(bench: Bench, receive: Receive) -> None:
    arrived = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        return web.Response()

    receiver = await receive(answer)
    bench.webhook("ops", receiver.url)
    ticks = 0

    async def tick(_: float) -> None:
        nonlocal ticks
        ticks += 1
        bench.moment.pass_by(1)
        await asyncio.sleep(0)

    bench.deliverer._sleep = tick
    await bench.events.attempt_made(record("rate_limited"))
    loop = asyncio.create_task(bench.deliverer.run_forever())
    async with asyncio.timeout(10):
        await arrived.wait()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    await bench.deliverer.finish()

    assert json.loads(receiver.got[0][1])["type"] == "byom.rate_limited"
    assert ticks >= 60


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("json", "DEBUG", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


async def test_no_secret_is_seen_anywhere(bench: Bench, receive: Receive, logged: io.StringIO) -> None:
    receiver = await receive()
    receiver.then(500, 410, 500)
    webhook, signer = bench.webhook("ops", receiver.url), bench.signer()
    secrets = [bench.secret(webhook), bench.secret(signer)]
    await bench.events.raise_alert(alert(bench))
    await bench.events.job_ended(make_job(callback_url=f"{receiver.url}?token=canary-token"), "j1", failure())
    for seconds in (0, *BACKOFF):
        await bench.deliver(seconds)
        for shown in [repr(await bench.subscriptions.signed(webhook.scope, "ops")), *map(repr, bench.reader.failed())]:
            assert not [secret for secret in secrets if secret in shown]

    text = (await all_text(bench.client)).decode(errors="replace") + "".join(body for _, body in receiver.got)
    assert "delivery" in logged.getvalue()
    for secret in secrets:
        raw = secret.removeprefix("whsec_")
        assert raw not in text
        assert raw not in logged.getvalue()
    assert "canary-token" not in logged.getvalue()
