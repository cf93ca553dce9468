"""A server in a thread that keeps what is posted to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Taker(BaseHTTPRequestHandler):
    """Keeps headers and body, and answers with the status that its server holds."""

    #: Has `got`, `status` and `url`; `Any`, since tests give theirs more.
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.append((dict(self.headers), body))
        self.answer()

    def answer(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler] = Taker) -> Iterator[Any]:
    """A server; its threads end with the block."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.got, server.status = [], 204
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
