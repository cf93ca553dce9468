"""A pool with two workers, for tests that measure who is let in when; each test takes projects of its own."""

from collections.abc import Iterator

import pytest

from benchmarks.ground import Ground, ground


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("admission")) as place:
        place.start_worker()
        place.start_worker()
        yield place
