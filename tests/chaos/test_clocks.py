"""A process whose wall clock is off sees that everywhere, and only that."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.clocks import Clock, compiler

_TELLS = """
import sys, time
from datetime import UTC, datetime
for _ in sys.stdin:
    print(time.time(), datetime.now(UTC).timestamp(), time.monotonic(), flush=True)
"""


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler here")
def test_a_clock_is_set_while_its_process_runs(tmp_path: Path) -> None:
    clock = Clock(tmp_path, "w")
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _TELLS],
        env=dict(clock.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for ahead in (0.0, 600.0, -86_400.0):
            clock.set(ahead)
            process.stdin.write("now\n")
            process.stdin.flush()
            wall, dated, running = map(float, process.stdout.readline().split())

            assert wall - time.time() == pytest.approx(ahead, abs=30)
            assert dated == pytest.approx(wall, abs=30)
            assert running == pytest.approx(time.monotonic(), abs=30)
        process.stdin.close()
