"""What a fetch has the server do: as much for a few jobs that wait as for many, and next to nothing where none does."""

from collections import Counter

import pytest
import redis

from tests.integration.support.lanes import LaneBench

pytestmark = pytest.mark.integration

#: Commands that look at one element, at the ends of a list or set, or at as many as are named in the command.
OF_FEW = {
    *("exists", "hget", "hset", "hdel", "hmget", "hincrby", "hincrbyfloat", "rpop", "lindex"),
    *("zrange", "zscore", "zadd", "zrem", "evalsha"),
}


def commands(client: redis.Redis) -> Counter[str]:
    """How often each command ran so far, those of scripts included."""
    told = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in told.items()})


def taken(client: redis.Redis, *, waiting: int) -> Counter[str]:
    """Commands of 32 jobs that are served while so many wait in each of two lanes."""
    client.flushdb()
    bench = LaneBench(client)
    for project in ("a", "b"):
        bench.put_many(waiting, project)
    bench.served(2)
    before = commands(client)
    for _ in range(32):
        bench.take()
    return commands(client) - before - Counter(["info"])


def test_taking_a_job_is_no_more_work_where_many_wait(valkey_client: redis.Redis) -> None:
    few = taken(valkey_client, waiting=50)

    many = taken(valkey_client, waiting=800)

    assert few == many
    assert many.keys() <= OF_FEW


def test_a_fetch_that_finds_nothing_looks_at_all_queues_at_once(valkey_client: redis.Redis) -> None:
    bench = LaneBench(valkey_client)
    queues = [f"extract.{number}" for number in range(8)]
    bench.fetch(*queues)
    before = commands(valkey_client)

    assert bench.fetch(*queues) is None

    assert commands(valkey_client) - before - Counter(["info"]) == {"evalsha": 1, "exists": 2}


def test_a_fetch_that_looks_at_all_queues_at_once_finds_the_last_of_them(valkey_client: redis.Redis) -> None:
    bench = LaneBench(valkey_client)
    queues = [f"extract.{number}" for number in range(8)]
    name = bench.put("acme", queue=queues[-1])

    assert bench.take(*queues).name == name
    assert bench.fetch(*queues) is None
