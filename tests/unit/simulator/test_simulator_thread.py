"""Simulators for callers without a loop, in a thread of their own."""

import json
import socket
import threading
import urllib.error
import urllib.request

import pytest
from pydantic import SecretStr

from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, SimulatorThread

BODY = json.dumps({"model": "gpt-6-luna", "input": "Ada lives in London.", "reasoning": {"effort": "none"}}).encode()


def ask(simulator: SimulatorThread, *, key: str = "sk-thread") -> int:
    request = urllib.request.Request(  # noqa: S310 - the simulator's own address
        f"{simulator.base_urls['openai']}/responses",
        data=BODY,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_thread_serves_and_is_steered_from_outside() -> None:
    with SimulatorThread(Options(latency=Latency.fixed(0))) as simulator:
        statuses = [ask(simulator)]
        rule = simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503))
        statuses.append(ask(simulator))
        simulator.clear_faults(rule)
        simulator.clear_faults(rule)
        simulator.put_account(Account(key=SecretStr("sk-thread"), rpm=1, rpm_burst=1))
        simulator.set_latency(Latency.fixed(0))
        report = simulator.books()
        simulator.reset()
        again = [ask(simulator), ask(simulator)]

        assert statuses == [200, 503]
        assert report.statuses == {200: 1, 503: 1}
        assert report.billed == report.received
        assert report.billed.total > 0
        assert report.entries[1].fault == "status"
        assert again == [200, 429]
        assert simulator.books(entries=1).requests == 2
        assert len(simulator.books(entries=1).entries) == 1


def test_closing_ends_the_thread_even_with_requests_hanging() -> None:
    simulator = SimulatorThread(Options(latency=Latency.fixed(0)))
    simulator.add_fault(FaultRule(kind=Injection.HANG))
    host, port = simulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            "POST /openai/v1/responses HTTP/1.1",
            "Host: simulator",
            "Authorization: Bearer sk-a",
            f"Content-Length: {len(BODY)}",
            "\r\n",
        )
        connection.sendall("\r\n".join(head).encode() + BODY)
        while not simulator.books().requests:
            pass
        simulator.close()
        simulator.close()
        assert connection.recv(1) == b""

    assert not any(thread.name == "simulator" for thread in threading.enumerate())


def test_a_port_that_is_taken_is_an_error_of_the_constructor() -> None:
    with SimulatorThread() as first, pytest.raises(OSError, match="address already in use"):
        SimulatorThread(port=int(first.url.rpartition(":")[2]))


def test_what_the_simulator_refuses_is_an_error() -> None:
    with SimulatorThread() as simulator, pytest.raises(LookupError, match="404"):
        simulator._call("GET", "/nothing")
