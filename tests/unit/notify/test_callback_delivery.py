"""Callbacks of jobs: posted once, signed, and given up where they can never arrive."""

import asyncio
import json

import standardwebhooks

from tasks.contract import ExtractionResult, Failure
from tasks.contract.events import Event, JobEnded
from tests.notify import Bench, Server, failure, make_bench, make_job, success
from tests.unit.notify.conftest import Receive


async def test_the_callback_of_a_job_is_posted_with_its_result_under_the_jobs_id(
    bench: Bench, receive: Receive
) -> None:
    receiver, ending = await receive(), success("j1")
    signer = bench.signer()

    await bench.events.job_ended(make_job(callback_url=f"{receiver.url}?token=t"), "j1", ending)
    await bench.deliver()

    ((headers, body),) = receiver.got
    document = standardwebhooks.Webhook(bench.secret(signer)).verify(body, headers)
    assert headers["webhook-id"] == "j1"
    assert (document["id"], document["type"]) == ("j1", "job.completed")
    assert (document["data"]["job_id"], document["data"]["status"]) == ("j1", "succeeded")
    assert ExtractionResult.model_validate(document["data"]["result"]) == ending.result


async def test_the_callback_of_a_failed_job_is_posted_with_its_failure(bench: Bench, receive: Receive) -> None:
    receiver, ending = await receive(), failure()
    bench.signer()

    await bench.events.job_ended(make_job(callback_url=receiver.url), "j1", ending)
    await bench.deliver()

    document = json.loads(receiver.got[0][1])
    assert document["type"] == "job.failed"
    assert Failure.model_validate(document["data"]["failure"]) == ending.failure


async def test_however_often_a_job_ends_it_is_told_once(bench: Bench, receive: Receive) -> None:
    called, hooked = await receive(), await receive()
    bench.signer()
    bench.webhook("jobs", hooked.url, kinds=("job.*",))
    job = make_job(callback_url=called.url)

    await asyncio.gather(*(bench.events.job_ended(job, "j1", success("j1")) for _ in range(10)))
    await bench.deliver()
    await bench.events.job_ended(job, "j1", success("j1"))
    await bench.deliver(3_600)

    assert called.ids == ["j1"]
    assert hooked.ids == ["evt_j1"]
    kept = await bench.client.xlen("byom:events:jobs")
    assert kept == 1


async def test_the_end_of_a_replay_is_told_anew_and_once(bench: Bench, receive: Receive) -> None:
    called, hooked = await receive(), await receive()
    bench.signer()
    bench.webhook("jobs", hooked.url, kinds=("job.*",))
    job = make_job(callback_url=called.url)
    await bench.events.job_ended(job, "j1", failure())
    for _ in range(2):
        await bench.events.job_ended(job, "j1", success("j1").model_copy(update={"replays": 1}))
    await bench.deliver()

    assert sorted(called.ids) == ["j1", "j1.1"]
    assert sorted(hooked.ids) == ["evt_j1", "evt_j1.1"]
    assert {json.loads(body)["data"]["job_id"] for _, body in called.got} == {"j1"}


async def test_a_callback_that_is_too_large_says_where_the_result_is(fake: Server, receive: Receive) -> None:
    receiver = await receive()
    bench = make_bench(fake, callback_max_bytes=1_000)
    bench.signer()
    ending = success("j1")
    assert ending.result is not None
    large = ending.result.model_copy(update={"attempts": ending.result.attempts * 50})

    await bench.events.job_ended(make_job(callback_url=receiver.url), "j1", ending.model_copy(update={"result": large}))
    await bench.deliver()
    await bench.poster.aclose()

    data = Event.model_validate_json(receiver.got[0][1]).data
    assert isinstance(data, JobEnded)
    assert (data.status, data.result) == ("succeeded", None)
    assert "more than the 1000" in str(data.omitted)
    assert len(receiver.got[0][1]) < 1_000


async def test_a_callback_that_nothing_can_sign_is_given_up_and_goes_out_once_there_is_a_secret(
    bench: Bench, receive: Receive
) -> None:
    receiver = await receive()
    await bench.events.job_ended(make_job(callback_url=receiver.url), "j1", success("j1"))
    await bench.deliver()

    (failed,) = bench.reader.failed("acme")
    assert "byom webhook secret --project acme" in failed.cause
    assert receiver.got == []

    bench.signer()
    bench.reader.redeliver(failed)
    await bench.deliver()
    assert receiver.ids == ["j1"]


async def test_a_callback_that_answers_410_is_given_up_and_no_other_is(bench: Bench, receive: Receive) -> None:
    receiver = await receive()
    receiver.then(410)
    bench.signer()
    for job_id in ("j1", "j2"):
        await bench.events.job_ended(make_job(callback_url=receiver.url), job_id, success(job_id))
        await bench.deliver()

    assert [failed.message for failed in bench.reader.failed()] == ["j1"]
    assert receiver.ids == ["j1", "j2"]


async def test_a_callback_into_the_private_network_is_never_made(fake: Server, receive: Receive) -> None:
    receiver = await receive()
    bench = make_bench(fake, allow_private=False)
    bench.signer()
    await bench.events.job_ended(make_job(callback_url=receiver.url), "j1", success("j1"))
    await bench.deliver()
    await bench.poster.aclose()

    (failed,) = bench.reader.failed()
    assert "BYOM_ALLOW_PRIVATE_ENDPOINTS" in failed.cause
    assert receiver.got == []
