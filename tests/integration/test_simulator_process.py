"""The simulator as a process of its own: started, steered, and stopped by Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from workers.embedded.simulator import FaultRule, Injection, Latency, Options, RemoteSimulator, SimulatorProcess

pytestmark = pytest.mark.integration

SERVE = """
from workers.embedded.simulator import serve
serve(ready=lambda simulator: print(simulator.url, flush=True))
print("ended", flush=True)
"""


def lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_process_serves_and_ends_with_its_owner() -> None:
    with SimulatorProcess(Options(latency=Latency.fixed(0))) as simulator:
        pid = simulator.pid
        number = simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503))
        simulator.clear_faults(number)
        with urllib.request.urlopen(f"{simulator.base_urls['compatible']}/models", timeout=10) as response:  # noqa: S310 - the simulator's own address
            assert response.status == 200
        assert simulator.books().requests == 1

    assert pid is not None
    assert not lives(pid)


def test_a_process_whose_port_is_taken_says_so() -> None:
    with SimulatorProcess() as first, pytest.raises(RuntimeError, match="address already in use"):
        SimulatorProcess(port=int(first.url.rpartition(":")[2]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_cleanly_at_ctrl_c(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert RemoteSimulator(url).books().requests == 0

        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (0, "ended\n", "")
