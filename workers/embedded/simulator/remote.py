"""Simulators that run elsewhere, in a thread or a process of their own, for callers without a loop."""

import asyncio
import contextlib
import json
import multiprocessing
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.books import BooksReport
from workers.embedded.simulator.control import BOOKS, ENTRIES, ROOT
from workers.embedded.simulator.core import Latency, Options
from workers.embedded.simulator.faults import FaultRule
from workers.embedded.simulator.server import Simulator

#: Seconds until a simulator that was started has to listen.
START = 30.0
_TIMEOUT = 30.0
#: Loopback is never reached by a proxy.
_OPENER = build_opener(ProxyHandler({}))


class RemoteSimulator:
    """A running simulator, spoken to by its control endpoints; safe from any thread.

    Args:
        url: where it listens, such as `http://127.0.0.1:40001`.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def base_urls(self) -> dict[str, str]:
        """What to configure as a connection's base URL, by vendor."""
        return dict(json.loads(self._call("GET", ""))["base_urls"])

    def books(self, *, entries: int = ENTRIES) -> BooksReport:
        """What was served so far."""
        return BOOKS.validate_json(self._call("GET", f"/books?entries={entries}"))

    def reset(self) -> None:
        """New books, full buckets, an empty prompt cache; accounts and faults stay."""
        self._call("DELETE", "/books")

    def add_fault(self, rule: FaultRule) -> int:
        """Put a rule in force; its id."""
        return int(json.loads(self._call("POST", "/faults", rule.model_dump(mode="json", exclude_none=True)))["id"])

    def clear_faults(self, number: int | None = None) -> None:
        """Take one rule out of force, or all; a rule that is used up already is gone as wished."""
        if number is None:
            self._call("DELETE", "/faults")
            return
        with contextlib.suppress(LookupError):
            self._call("DELETE", f"/faults/{number}")

    def put_account(self, account: Account) -> None:
        """Open an account, or replace the one that has this key: new limits, an expired or revoked key."""
        document = account.model_dump(mode="json", exclude_none=True)
        self._call("POST", "/accounts", document | {"key": account.key.get_secret_value()})

    def set_latency(self, latency: Latency) -> None:
        """From now on models take this long."""
        self._call("PUT", "/latency", latency.model_dump())

    def set_batch_seconds(self, seconds: float) -> None:
        """From now on batches take this long, those that are under way too."""
        self._call("PUT", "/batches", {"seconds": seconds})

    def end_batches(self, *, done: int | None = None, rest: str = "expired") -> int:
        """End all batches that are under way; how many.

        Args:
            done: requests of each that are answered, from the first on; None for all.
            rest: what becomes of the others: `expired` or `cancelled`.
        """
        document = {"rest": rest} if done is None else {"done": done, "rest": rest}
        return int(json.loads(self._call("POST", "/batches/end", document))["ended"])

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> bytes:
        """One control request.

        Raises:
            LookupError: there is nothing at this path.
            ValueError: the simulator did not accept it.
        """
        body = None if document is None else json.dumps(document).encode()
        request = Request(  # noqa: S310 - the URL is the simulator's own, always http
            self.url + ROOT + path, data=body, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as response:
                return bytes(response.read())
        except HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            kind = LookupError if error.code == 404 else ValueError  # noqa: PLR2004 - the HTTP status
            raise kind(f"the simulator answered {error.code} to {method} {ROOT}{path}: {text}") from None


class SimulatorThread(RemoteSimulator):
    """A simulator in a thread with a loop of its own; it listens once the constructor returns.

    Args:
        options: accounts, latency and seed.
        host: address to bind.
        port: 0 takes any free one.
        more: `clock`, `sleep` and `mounts`, as for `Simulator`.
    """

    def __init__(self, options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0, **more: Any) -> None:
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        simulator = Simulator(options, host=host, port=port, **more)
        self._thread = threading.Thread(target=self._run, args=(simulator,), name="simulator", daemon=True)
        self._thread.start()
        self._ready.wait(START)
        if self._error is not None:
            raise self._error
        super().__init__(simulator.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end the thread; closing twice is fine."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop may end between the check and the call
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, simulator: Simulator) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with simulator:
                self._ready.set()
                await self._stop.wait()

        try:
            asyncio.run(main())
        except OSError as error:
            self._error = error
        finally:
            self._ready.set()


class SimulatorProcess(RemoteSimulator):
    """A simulator in a process of its own, so that it does not share an interpreter with what it measures.

    A script that uses it needs the usual `if __name__ == "__main__":`.

    Args:
        options: accounts, latency and seed.
        host: address to bind.
        port: 0 takes any free one.

    Raises:
        RuntimeError: it did not start.
    """

    def __init__(self, options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_run_process, args=(theirs, options or Options(), host, port), name="simulator", daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe: Connection = ours
        try:
            url = ours.recv() if ours.poll(START) else ""
        except EOFError:
            url = ""
        if not url.startswith("http"):
            self.close()
            raise RuntimeError(f"the simulator did not start: {url or 'it gave no sign'}")
        super().__init__(url)

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._pipe.close()
        self._process.join(START)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _run_process(pipe: Connection, options: Options, host: str, port: int) -> None:
    """The body of the process: it lives until the parent closes its end of the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def main() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), gone.set)
        async with Simulator(options, host=host, port=port) as simulator:
            pipe.send(simulator.url)
            await gone.wait()

    try:
        asyncio.run(main())
    except OSError as error:
        pipe.send(str(error))


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    options: Options | None = None,
    ready: Callable[[Simulator], Awaitable[None] | None] | None = None,
) -> None:
    """Run a simulator in this thread until Ctrl-C or SIGTERM, then return.

    Args:
        host: address to bind.
        port: 0 takes any free one.
        options: accounts, latency and seed.
        ready: called once it listens, for instance to print its base URLs.

    Raises:
        OSError: the address cannot be bound.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with Simulator(options, host=host, port=port) as simulator:
            if ready is not None:
                ready(simulator)
            await stop.wait()

    asyncio.run(main())
