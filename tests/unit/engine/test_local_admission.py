import asyncio
import gc
from contextlib import AsyncExitStack

from config.connections import EffectiveConnection
from tests.support import effective
from workers.admission import LocalAdmission


async def in_flight(admission: LocalAdmission, *wanted: EffectiveConnection) -> int:
    """How many of the wanted calls are admitted at once."""
    admitted = 0
    release = asyncio.Event()

    async def call(one: EffectiveConnection) -> None:
        nonlocal admitted
        async with admission.admit(one, tokens=1):
            admitted += 1
            await release.wait()

    calls = [asyncio.create_task(call(one)) for one in wanted]
    for _ in range(5):
        await asyncio.sleep(0)
    seen = admitted
    release.set()
    await asyncio.gather(*calls)
    return seen


async def test_a_connection_is_bounded_by_its_own_limit() -> None:
    slow = effective("slow", max_concurrency=2)

    assert await in_flight(LocalAdmission(max_calls=100), *[slow] * 10) == 2


async def test_connections_without_a_limit_are_bounded_by_the_process() -> None:
    assert await in_flight(LocalAdmission(max_calls=3), *[effective("free", max_concurrency=None)] * 10) == 3


async def test_who_waits_for_its_connection_takes_no_place_from_others() -> None:
    slow, free = effective("slow", max_concurrency=1), effective("free", max_concurrency=None)

    assert await in_flight(LocalAdmission(max_calls=4), *[slow] * 10, *[free] * 3) == 4


async def test_an_idle_connection_leaves_nothing_behind() -> None:
    admission = LocalAdmission(max_calls=10)
    async with AsyncExitStack() as stack:
        for number in range(5):
            await stack.enter_async_context(admission.admit(effective(f"c{number}", max_concurrency=1), tokens=1))
    gc.collect()

    assert len(admission._connections) == 0
