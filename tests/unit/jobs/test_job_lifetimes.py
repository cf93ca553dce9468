"""How long Redis keeps what is known of a job."""

import fakeredis
import pytest

from tests.unit.jobs.conftest import record, route, success
from workers.jobs import Kept, RedisJobs
from workers.jobs.redis import job_key


async def test_everything_kept_in_redis_has_a_lifetime() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        await jobs.claim("i", hop=1, owner="a", lease=15)
        await jobs.claim("j", hop=1, owner="a", lease=15)
        await jobs.keep("j", unit=1, outcome="{}")
        await jobs.settle(record())
        await jobs.hand_over("k", owner="a", route=route(2))
        await jobs.end("l", owner="a", ending=success("l"))

        without = [key async for key in client.scan_iter() if await client.ttl(key) < 0]

        assert without == [b"byom:usage:records"]


async def test_a_reopened_job_is_kept_as_long_as_it_is_told_to_be() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=10)
        await jobs.reopen("j", Kept(), ttl=3_600)

        assert 60 < await client.ttl(job_key("j")) <= 3_600


@pytest.mark.parametrize(
    ("wait", "kept"), [(86_400, 86_400 + 3_600), (1_900.5, 1_901 + 3_600), (1_800, 3_600), (5, 3_600)]
)
async def test_what_a_job_has_finished_outlasts_its_wait(wait: float, kept: int) -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        await jobs.claim("j", hop=1, owner="a", lease=15)
        await jobs.keep("j", unit=0, outcome="{}")

        await jobs.outlast("j", wait=wait)

        assert kept - 60 < await client.ttl(job_key("j")) <= kept
        await jobs.claim("j", hop=1, owner="b", lease=15)
