"""The processes of a laptop stack: start them, label what they say, notice when one dies, stop them all.

Children run in process groups of their own, so that a terminal's Ctrl-C reaches the parent alone, which then stops
them in its own order.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Self

#: Takes the name of a process and one line of its output.
Sink = Callable[[str, str], None]

_TAIL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start."""

    #: Labels its output.
    name: str
    argv: Sequence[str]
    #: The whole environment; not in the repr, since it holds secrets.
    env: Mapping[str, str] = field(repr=False)


class Child:
    """One running program. Its output is read to the end, so that it never blocks on a full pipe."""

    def __init__(self, program: Program, *, sink: Sink) -> None:
        self.name = program.name
        self._sink = sink
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._process = subprocess.Popen(  # noqa: S603 - the programs are our own
            program.argv,
            env=dict(program.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, name=f"read-{self.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def last_lines(self) -> list[str]:
        """The end of its output, oldest line first; complete once it has ended."""
        if self.exit_code is not None:
            self.join()
        return list(self._tail)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and all that it started, if it still runs."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        try:
            self._process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def join(self) -> None:
        """Wait until its output is read to the end, but not for what it left behind and still writes to it."""
        self._reader.join(timeout=1)

    def _read(self) -> None:
        with _pipe(self._process) as pipe:
            for line in pipe:
                self._tail.append(line.rstrip("\n"))
                self._sink(self.name, line.rstrip("\n"))


class Stack:
    """Programs that live and die together. A context manager: leaving it stops them."""

    def __init__(self, *, sink: Sink, grace: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`grace` is how long programs may take to end after SIGTERM, in seconds."""
        self._sink = sink
        self._grace = grace
        self._monotonic = monotonic
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, program: Program) -> Child:
        """Start a program beside the others."""
        child = Child(program, sink=self._sink)
        self._children.append(child)
        return child

    def pids(self) -> dict[str, int]:
        """Name → process id."""
        return {child.name: child.pid for child in self._children}

    def dead(self) -> Child | None:
        """The first program that has ended by itself, if any."""
        return next((child for child in self._children if child.exit_code is not None), None)

    def stop(self) -> None:
        """Ask all programs to end; kill those that have not within the grace. Safe to call again."""
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = self._monotonic() + self._grace
        for child in self._children:
            if not child.wait(max(0.0, deadline - self._monotonic())):
                child.signal(signal.SIGKILL)
                child.wait(self._grace)
            child.join()
        self._children.clear()

    def kill(self) -> None:
        """End all programs at once, without grace; for a second Ctrl-C. `stop` must still be called."""
        for child in self._children:
            child.signal(signal.SIGKILL)


def worker_command(*, concurrency: int, name: str, queues: Sequence[str] = (), extra: Sequence[str] = ()) -> list[str]:
    """The command line of a worker; its pool is in Celery's configuration."""
    command = [sys.executable, "-m", "workers.celery_worker"]
    command += ["--concurrency", str(concurrency), "--hostname", f"{name}@%h", "--task-events", "--without-gossip"]
    if queues:
        command += ["--queues", ",".join(queues)]
    return [*command, *extra]


def flower_command(*, port: int) -> list[str]:
    """The command line of Flower with our pages, reachable from this machine only. Its login is in the environment."""
    return [sys.executable, "-m", "workers.cli", "flower", "--address", "127.0.0.1", "--port", str(port)]


def _pipe(process: "subprocess.Popen[str]") -> IO[str]:
    if process.stdout is None:
        raise RuntimeError("the program was started without a pipe")
    return process.stdout
