"""Commands of concurrent callers share a round trip, and nothing else."""

import asyncio

import pytest
import redis
from redis.asyncio import Redis

from workers.embedded.valkey import EmbeddedValkey
from workers.redis.patient import patient_client
from workers.redis.pipelining import Pipelining, Script


async def test_each_caller_gets_the_answer_to_its_own_command(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        pipelining = Pipelining(client)
        await pipelining.execute("SET", "text", "x")

        answers = await asyncio.gather(
            pipelining.execute("ECHO", b"\x00\r\n\xff"),
            pipelining.execute("INCR", "text"),
            pipelining.execute("ECHO", "Ünïcode"),
            pipelining.execute("INCRBYFLOAT", "number", 0.1),
            pipelining.execute("INCRBY", "count", 7),
            return_exceptions=True,
        )

    assert answers[0] == b"\x00\r\n\xff"
    assert isinstance(answers[1], redis.ResponseError)
    assert list(answers[2:]) == ["Ünïcode".encode(), b"0.1", 7]


async def test_what_is_no_argument_of_a_command_is_refused(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        pipelining = Pipelining(client)
        with pytest.raises(redis.DataError):
            await pipelining.execute("SET", "key", None)
        assert await pipelining.execute("EXISTS", "key") == 0


async def test_a_server_that_does_not_answer_in_time_is_given_up(valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url, socket_timeout=0.05, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            await Pipelining(client).execute("BLPOP", "nothing", 0)
        assert await Pipelining(client).execute("ECHO", "still") == b"still"


async def test_a_caller_that_goes_away_leaves_the_others_their_answers(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        pipelining = Pipelining(client)
        leaving = asyncio.create_task(pipelining.execute("ECHO", "a"))
        staying = asyncio.create_task(pipelining.execute("ECHO", "b"))
        await asyncio.sleep(0)
        leaving.cancel()

        assert await staying == b"b"


async def test_all_that_use_a_client_share_its_round_trips(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client, patient_client(valkey.url) as other:
        assert Pipelining.of(client) is Pipelining.of(client)
        assert Pipelining.of(client) is not Pipelining.of(other)


async def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(valkey: EmbeddedValkey) -> None:
    # No patience: it is found closed before anything is sent.
    async with Redis.from_url(valkey.url, retry=None) as client, Redis.from_url(valkey.url) as other:
        pipelining = Pipelining(client)
        mine = await pipelining.execute("CLIENT", "ID")
        await other.client_kill_filter(_id=mine)
        assert pipelining._connection is not None
        while not await pipelining._connection.can_read():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)

        assert await pipelining.execute("ECHO", "again") == b"again"


async def test_a_command_that_cannot_be_sent_leaves_the_others_their_answers(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        pipelining = Pipelining(client)
        answers = await asyncio.gather(
            pipelining.execute("SET", "key", None), pipelining.execute("ECHO", "a"), return_exceptions=True
        )

    assert isinstance(answers[0], redis.DataError)
    assert answers[1] == b"a"


async def test_what_breaks_off_in_the_middle_leaves_nothing_for_the_next(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        pipelining = Pipelining(client)
        await pipelining.execute("ECHO", "before")
        breaking_off = asyncio.create_task(pipelining._replies([b"*2\r\n$4\r\nECHO\r\n$3\r\nold\r\n"]))
        await asyncio.sleep(0)
        breaking_off.cancel()
        await asyncio.wait([breaking_off])

        assert await pipelining.execute("ECHO", "new") == b"new"


async def test_a_script_that_the_server_forgot_is_sent_again(valkey: EmbeddedValkey) -> None:
    async with patient_client(valkey.url) as client:
        script = Script(Pipelining(client), "return {KEYS[1], ARGV[1]}")
        first = await script(keys=["k"], args=[1])
        await client.script_flush()

        assert first == await script(keys=["k"], args=[1]) == [b"k", b"1"]
