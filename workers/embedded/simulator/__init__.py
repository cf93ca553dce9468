"""A local server that stands in for the LLM providers: their wire formats, limits, books and faults.

    async with Simulator(Options(accounts=(Account(key=..., tpm=90_000),))) as simulator:
        simulator.base_urls["openai"]      # http://127.0.0.1:PORT/openai/v1
        simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, count=3))
        simulator.books().billed           # tokens served, to the token

`SimulatorThread` and `SimulatorProcess` do the same for callers without a loop; `serve` runs one until Ctrl-C. Answers
are rule-based and say so: every response carries `x-simulated: true`. Control endpoints: `control`; base URLs: `wire`.
"""

from workers.embedded.simulator.accounts import Account, Charge, KeyState, fingerprint
from workers.embedded.simulator.books import BooksReport, Entry, Total
from workers.embedded.simulator.core import Latency, Options
from workers.embedded.simulator.exchange import Reason, Usage
from workers.embedded.simulator.faults import FaultRule, Injection
from workers.embedded.simulator.meter import MeterReport, Worst
from workers.embedded.simulator.remote import RemoteSimulator, SimulatorProcess, SimulatorThread, serve
from workers.embedded.simulator.server import Simulator
from workers.embedded.simulator.wire import MOUNTS, Mount
from workers.embedded.simulator.wire.aws_signature import simulated_credential

__all__ = [
    "MOUNTS",
    "Account",
    "BooksReport",
    "Charge",
    "Entry",
    "FaultRule",
    "Injection",
    "KeyState",
    "Latency",
    "MeterReport",
    "Mount",
    "Options",
    "Reason",
    "RemoteSimulator",
    "Simulator",
    "SimulatorProcess",
    "SimulatorThread",
    "Total",
    "Usage",
    "Worst",
    "fingerprint",
    "serve",
    "simulated_credential",
]
