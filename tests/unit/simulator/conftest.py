"""A simulator on the test's own loop, on a clock that only the test moves, and the vendor's SDK pointed at it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import openai
import pytest
from pydantic import SecretStr

from workers.embedded.simulator import Account, Latency, Options, Simulator

KEY = "sk-proj-simulated-0123456789abcdef"


@dataclass(slots=True)
class FakeTime:
    """A clock, and a sleep that only writes down how long it should have lasted."""

    now: float = 1_795_000_000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def account() -> Account:
    return Account(key=SecretStr(KEY), rpm=600, tpm=60_000)


@pytest.fixture
async def simulator(account: Account, fake_time: FakeTime) -> AsyncIterator[Simulator]:
    options = Options(accounts=(account,), permissive=False, latency=Latency.fixed(0), seed=1)
    async with Simulator(options, clock=fake_time.clock, sleep=fake_time.sleep) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    base_url = simulator.base_urls["openai"]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0) as ready:
        yield ready


@pytest.fixture
async def compatible(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    base_url = simulator.base_urls["compatible"]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0) as ready:
        yield ready
