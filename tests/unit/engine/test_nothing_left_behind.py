"""What a job took of memory is free as soon as it is over, without a collection.

The collector looks at what is old only after hundreds of jobs, each of which would be there until then.
"""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tests.unit.engine.conftest import TEXT, Bench, make_job
from tests.unit.engine.packing import good, packed
from workers.jobs import Ending


@pytest.fixture
def _no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collections")
@pytest.mark.parametrize("texts", [(TEXT,), (TEXT, f"{TEXT} She likes it.")], ids=["one episode", "two episodes"])
async def test_a_job_that_is_over_is_gone(bench: Bench, texts: tuple[str, ...]) -> None:
    job = make_job(*texts)
    seen = weakref.ref(job)

    assert isinstance(await bench.run(job), Ending)
    del job

    assert seen() is None


@pytest.mark.usefixtures("_no_collections")
async def test_a_job_whose_episodes_shared_a_call_is_gone(bench: Bench) -> None:
    bench.model.always["primary"] = good
    job = packed()
    seen = weakref.ref(job)

    assert isinstance(await bench.run(job), Ending)
    del job

    assert seen() is None
