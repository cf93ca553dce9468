"""The worker's side: child processes that run one job at a time, there only as long as there are any."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress

import structlog

from workers.monitoring.metrics.series import Counted
from workers.solitary.frames import Answer, Errand, receive, send

_log = structlog.get_logger(__name__)

#: Child processes of one worker at a time. Each needs as much memory as a worker that does nothing.
_CELLS = 2

#: Starts a child.
_COMMAND = (sys.executable, "-m", "workers.solitary.child")

#: Seconds between looks at whether the worker stops, for a job that waits for its turn.
_LOOK = 0.5

#: Seconds in which a child that is told to end does.
_END = 10.0


class ChildDied(Exception):
    """The child died with the job in hand, and it had no other."""


class NoChild(Exception):
    """There is no process to run the job in; it is as it was and may be delivered again."""


class Cells:
    """Runs jobs alone. Safe for threads: each waits for its job."""

    def __init__(
        self,
        *,
        modules: Callable[[], Sequence[str]],
        counted: Callable[[Counted], None],
        command: Sequence[str] = _COMMAND,
        cells: int = _CELLS,
    ) -> None:
        """Prepare; starts nothing.

        Args:
            modules: says what children are to load as their worker has.
            counted: takes what children measure, as soon as they do; called from any thread.
            command: starts a child; the modules come behind it.
            cells: how many may run at a time.
        """
        self._command = command
        self._modules = modules
        self._counted = counted
        self._places = threading.Semaphore(cells)
        self._lock = threading.Lock()
        self._waiting = 0
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._stopping = False

    def run(self, errand: Errand, *, begins: Callable[[], None]) -> Answer:
        """Run one job in a child that has no other, and say what came of it.

        Args:
            errand: the job.
            begins: called when there is a child for it, before it gets the job; what it raises is raised.

        Raises:
            ChildDied: the child did not survive it.
            NoChild: no child could be started.
            CancelledError: the worker stops.
        """
        self._enter()
        child: _Child | None = None
        try:
            child = self._take()
            child.start()
            begins()
            try:
                return child.run(errand)
            except ChildDied:
                if self._stopping or child.jobs == 1:
                    raise
                # It may have died of what a job before this one left behind in it.
                _log.warning("job_tried_again_alone", job_id=errand.job_id, reason="its process had run another before")
            child = self._replace(child)
            child.start()
            return child.run(errand)
        except (ChildDied, NoChild):
            if self._stopping:
                raise CancelledError from None
            raise
        finally:
            self._leave(child)

    def stop(self) -> None:
        """Kill all children; each `run` raises `CancelledError`."""
        with self._lock:
            self._stopping = True
            busy, idle = list(self._busy), list(self._idle)
            self._idle.clear()
        for child in busy:
            # Whoever waits for it clears it away.
            child.kill()
        for child in idle:
            child.end()

    def _enter(self) -> None:
        with self._lock:
            self._waiting += 1
        try:
            while not self._places.acquire(timeout=_LOOK):
                if self._stopping:
                    raise CancelledError
        finally:
            with self._lock:
                self._waiting -= 1

    def _take(self) -> "_Child":
        with self._lock:
            if self._stopping:
                raise CancelledError
            child = self._idle.pop() if self._idle else self._new()
            self._busy.add(child)
            return child

    def _replace(self, dead: "_Child") -> "_Child":
        with self._lock:
            self._busy.discard(dead)
            if self._stopping:
                raise CancelledError
            child = self._new()
            self._busy.add(child)
        dead.end()
        return child

    def _new(self) -> "_Child":
        return _Child([*self._command, *self._modules()], self._counted)

    def _leave(self, child: "_Child | None") -> None:
        with self._lock:
            if child is not None:
                self._busy.discard(child)
                if child.is_alive() and len(self._idle) < self._waiting and not self._stopping:
                    self._idle.append(child)
                    child = None
        self._places.release()
        if child is not None:
            child.end()


class _Child:
    """One child process."""

    def __init__(self, command: Sequence[str], counted: Callable[[Counted], None]) -> None:
        self._counted = counted
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What a terminal or a supervisor sends to the worker's group is the worker's affair.
                start_new_session=True,
            )
        except OSError as error:
            raise NoChild(f"no process can be started: {error.strerror}") from error
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018 - pipes
        self._errands, self._answers = self._process.stdin, self._process.stdout
        self._started = False
        #: Jobs that it got.
        self.jobs = 0

    def start(self) -> None:
        """Wait until it is ready.

        Raises:
            NoChild: it ended before.
        """
        if not self._started and self._next() is None:
            self.kill()
            raise NoChild("a process for one job alone ended before it had begun; its output says why")
        self._started = True

    def run(self, errand: Errand) -> Answer:
        """Have it run one job."""
        begun = False
        self.jobs += 1
        with suppress(OSError):
            send(self._errands, errand)
        while (answer := self._next()) is not None:
            if not answer.begun:
                return answer
            begun = True
        if not begun:
            self.kill()
            raise NoChild("a process for one job alone ended before it had the job")
        raise ChildDied(f"ended with {self._process.wait()}")

    def _next(self) -> Answer | None:
        """The next one to what it was told; None when there is no more."""
        while (text := receive(self._answers)) is not None:
            answer = Answer.model_validate_json(text)
            if answer.counted is None:
                return answer
            self._counted(answer.counted)
        return None

    def is_alive(self) -> bool:
        """Whether it can run another."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> None:
        """Have it end in good order, and clear away what it leaves."""
        with suppress(OSError):
            self._errands.close()
        try:
            self._process.wait(timeout=_END)
        except subprocess.TimeoutExpired:
            _log.warning("child_killed", reason="it did not end by itself")
            self._process.kill()
            self._process.wait()
        self._answers.close()
