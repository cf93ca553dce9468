"""The stack: real processes that are labelled, watched and stopped."""

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from workers.embedded.stack import Child, Program, Stack

pytestmark = pytest.mark.integration

Lines = list[tuple[str, str]]
Start = Callable[..., Child]

#: Says that it is up, then waits for the end.
OBEDIENT = """
    import signal, sys
    signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
    print("up", flush=True)
    while True:
        signal.pause()
"""
STUBBORN = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    while True:
        signal.pause()
"""


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def stack(lines: Lines) -> Iterator[Stack]:
    with Stack(sink=lambda name, line: lines.append((name, line)), grace=10) as running:
        yield running


@pytest.fixture
def start(stack: Stack, lines: Lines) -> Start:
    """Starts a script and waits until it has said that it is up."""

    def run(script: str, *, name: str = "one", on: Stack | None = None) -> Child:
        argv = [sys.executable, "-c", textwrap.dedent(script)]
        child = (on or stack).start(Program(name=name, argv=argv, env=dict(os.environ)))
        wait_for(lambda: (name, "up") in lines or child.exit_code is not None)
        return child

    return run


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        pause.wait(0.02)


def test_output_is_labelled_with_the_name_of_its_program(start: Start, stack: Stack, lines: Lines) -> None:
    start(OBEDIENT, name="one")
    start(OBEDIENT, name="two")
    stack.stop()

    assert sorted(lines) == [("one", "bye"), ("one", "up"), ("two", "bye"), ("two", "up")]


def test_stopping_ends_all_in_good_order(start: Start, stack: Stack) -> None:
    children = [start(OBEDIENT, name=name) for name in ("one", "two")]
    stack.stop()

    assert [child.exit_code for child in children] == [0, 0]


def test_what_does_not_end_in_time_is_killed(start: Start, lines: Lines) -> None:
    with Stack(sink=lambda name, line: lines.append((name, line)), grace=0.2) as impatient:
        child = start(STUBBORN, on=impatient)

    assert child.exit_code == -signal.SIGKILL


def test_killing_does_not_wait_for_the_grace(start: Start, stack: Stack) -> None:
    child = start(STUBBORN)
    stack.kill()
    began = time.monotonic()
    stack.stop()

    assert child.exit_code == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_a_program_that_ends_by_itself_is_noticed_with_its_last_lines(start: Start, stack: Stack) -> None:
    start(OBEDIENT, name="well")
    assert stack.dead() is None

    child = start("import sys; [print(n, flush=True) for n in range(50)]; sys.exit('no luck')", name="ill")
    child.wait(10)

    dead = stack.dead()
    assert dead is child
    assert child.exit_code == 1
    assert child.last_lines()[-3:] == ["48", "49", "no luck"]
    assert len(child.last_lines()) == 20


def test_children_do_not_hear_the_ctrl_c_of_the_terminal(start: Start) -> None:
    child = start(OBEDIENT)

    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


def test_a_grandchild_that_keeps_the_pipe_open_does_not_block_the_end(start: Start, stack: Stack) -> None:
    child = start(
        """
        import subprocess, sys
        keeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
        print(keeper.pid, flush=True)
        print("up", flush=True)
        """
    )
    child.wait(10)
    keeper = int(child.last_lines()[0])
    try:
        began = time.monotonic()
        stack.stop()
        assert time.monotonic() - began < 10
    finally:
        os.kill(keeper, signal.SIGKILL)


def test_the_environment_of_a_program_is_not_in_its_repr() -> None:
    assert "canary" not in repr(Program(name="x", argv=["x"], env={"KEY": "canary"}))
