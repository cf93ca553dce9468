"""What all pages have in common: a login, headers, errors without secrets, and work in threads."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import redis
import structlog
import tornado.web
from flower.views import BaseHandler  # type: ignore[import-untyped]  # has no types
from tornado.ioloop import IOLoop

from workers.monitoring import formats
from workers.monitoring.boards import Boards

_T = TypeVar("_T")

_STATIC = Path(__file__).parents[1] / "static"

#: Nothing but what this server sends, no frame around it, and no form to elsewhere. Bootstrap's icons are `data:`.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

_log = structlog.get_logger(__name__)


@lru_cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]


class Page(BaseHandler):  # type: ignore[misc]  # Flower has no types
    """A page of ours, behind Flower's own login."""

    boards: Boards

    def initialize(self, boards: Boards, **own: Any) -> None:  # noqa: ARG002 - for pages that take more
        """Take the sources; Tornado calls this."""
        self.boards = boards

    @tornado.web.authenticated
    def prepare(self) -> None:
        """Let nobody in without a login, whatever the method."""

    def set_default_headers(self) -> None:
        """Flower's own, and what keeps the page to itself."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Flower's check of the origin, and always Tornado's token: these pages change things."""
        super().check_xsrf_cookie()
        tornado.web.RequestHandler.check_xsrf_cookie(self)

    def arguments(self) -> dict[str, str]:
        """The parameters of the address, as they were given; of several of one name the last."""
        return {name: self.get_query_argument(name) for name in self.request.query_arguments}

    async def background(self, work: Callable[[], _T]) -> _T:
        """Do something that blocks, in a thread."""
        return await IOLoop.current().run_in_executor(None, work)

    def show(self, template: str, **values: Any) -> None:
        """Send a page made from a template of ours."""
        self.render(template, f=formats, asset=self._asset, **values)

    def trouble(self, status: int, heading: str, message: str, *, tab: str = "") -> None:
        """Send a page that says what is wrong and what to do."""
        self.set_status(status)
        self.show("byom_trouble.html", heading=heading, message=message, tab=tab)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Never a traceback: it could hold an address with a password."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, redis.RedisError):
            self.trouble(
                503,
                "The broker does not answer",
                "Usage, limits and lanes are kept in Redis or Valkey, and it cannot be asked at present. The page "
                "works again as soon as it can; `byom doctor` looks closer.",
            )
        elif status_code >= 500:  # noqa: PLR2004 - server errors, by HTTP
            self.trouble(status_code, "This page failed", "What happened is in the log of Flower.")
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What the broker's client says may hold an address; its kind is enough."""
        if isinstance(value, redis.RedisError):
            _log.error("page_without_broker", path=self.request.path, error=typ.__name__)
        else:
            super().log_exception(typ, value, tb)

    def _asset(self, name: str) -> str:
        return f"{self.reverse_url('byom_static', name)}?v={_version(name)}"
