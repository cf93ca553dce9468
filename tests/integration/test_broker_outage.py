"""The broker is away while answers come in that were paid for: they are counted when it is back."""

import asyncio
from pathlib import Path

import pytest

from tests.ledger import usage_record
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import RedisJobs
from workers.redis.patient import patient_client
from workers.redis.pipelining import Pipelining

pytestmark = pytest.mark.integration


async def test_what_is_settled_while_the_broker_is_away_is_counted_once_when_it_is_back(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path) as valkey:
        async with patient_client(valkey.url) as client:
            jobs = RedisJobs(client, state_ttl=60, records_kept=10)
            assert await jobs.settle(usage_record("before"))
            valkey.kill()

            records = (usage_record("before", latency_ms=1), usage_record("meanwhile"))
            settling = [asyncio.create_task(jobs.settle(one)) for one in records]
            done, _ = await asyncio.wait(settling, timeout=1)
            assert not done
            valkey.start()

            assert await asyncio.gather(*settling) == [False, True]
            assert await client.xlen("byom:usage:records") == 2


async def test_a_command_that_the_server_never_answered_is_sent_again(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path) as valkey:
        async with patient_client(valkey.url) as client:
            blocked = asyncio.create_task(Pipelining(client).execute("BLPOP", "k", 0))
            # Once it waits there.
            async with patient_client(valkey.url) as other:
                while not (await other.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
                valkey.kill()
                valkey.start()
                await other.rpush("k", "v")

            assert tuple(await blocked) == (b"k", b"v")
