"""Logging of a process: one format for our lines and everybody else's, and nothing secret in either."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal, TextIO

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from workers.broker.parked import Collected, Parked

MASK = "***"

#: Libraries that log secrets or message bodies below these levels: parameters as SSM returned them, tokens, signed
#: requests, Celery's arguments. `celery.worker.strategy` says of each task that it was received, which its event says
#: too.
_FLOORS = {
    "aiohttp": logging.INFO,
    "boto3": logging.INFO,
    "botocore": logging.INFO,
    "celery.pool": logging.INFO,
    "celery.worker.strategy": logging.WARNING,
    "google.auth": logging.INFO,
    "httpcore": logging.INFO,
    "httpx": logging.WARNING,
    "urllib3": logging.INFO,
}

_SECRET_NAME = re.compile(r"(secret|password|passwd|token|key|authorization|credentials?|cookie)$", re.IGNORECASE)
#: Names that end like a secret's and hold none.
_HARMLESS = frozenset({"idempotency_key", "routing_key"})

#: What keys and tokens of the vendors look like, wherever they stand in a text.
_SECRET_TEXT = re.compile(
    r"""
    \bsk-[A-Za-z0-9_-]{8,}                                  # OpenAI, Anthropic and many that took after them
    | \bAIza[A-Za-z0-9_-]{20,}                              # Google API keys
    | \bya29\.[A-Za-z0-9._-]{8,}                            # Google access tokens
    | \b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}                # AWS access keys
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*  # JSON web tokens
    | \bwhsec_[A-Za-z0-9+/=_-]{8,}                           # secrets of webhooks
    | (?<=Bearer\ )[A-Za-z0-9._~+/=-]{4,}
    | (?<=Basic\ )[A-Za-z0-9+/=]{8,}
    | -----BEGIN[^-]*PRIVATE\ KEY-----.*?(?:-----END[^-]*PRIVATE\ KEY-----|\Z)
    | (?<=://)[^/\s@'"]*:[^/\s@'"]+(?=@)                    # user:password in a URL
    | (?<=api-key:\ )[^\s'",]+
    | (?:(?<=x-goog-api-key:\ )|(?<=SecretAccessKey":\ "))[^\s'",]+
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
#: What no such text is without, in lower case: a look for it is ten times cheaper than the search above.
_SECRET_MARK = re.compile(
    r"sk-|aiza|ya29\.|akia|asia|abia|acca|eyj|whsec_|bearer |basic |-----begin|://|api-key: |secretaccesskey"
)

#: Types of values that hold no secret; to look a type up costs a fraction of asking for instances of it.
_NO_TEXT = frozenset({type(None), bool, int, float})

#: A value that needs no quotes in a line of text.
_UNQUOTED = re.compile(r"[^\s='\"]*")

#: Where Celery says how tasks ended.
_CELERY_TRACE = "celery.app.trace"

#: Nesting that is looked into; what lies deeper is shown as text.
_DEPTH = 8


def configure_logging(log_format: Literal["text", "json"], level: str, *, stream: TextIO | None = None) -> None:
    """Send all logging of the process to `stream` (stderr), as JSON lines or as text for people."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        # Whose line it is: job and trace, bound while a worker has a delivery in hand.
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor
    if log_format == "json":
        renderer = json_line
    elif stream.isatty():
        renderer = structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = plain_line
    last: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["job_id"]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, logging.getLevelNamesMapping()[level]))
    logging.getLogger(_CELERY_TRACE).addFilter(_is_news)
    logging.getLogger(_CELERY_TRACE).addFilter(_name_job)
    logging.captureWarnings(capture=True)
    _Lines.handler = handler
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """Our own lines go straight to the stream.

    A record of `logging` for each, and the way through its handlers, cost as much as the line itself.
    """

    #: Where the process logs, also for loggers that were used before.
    handler: ClassVar[logging.StreamHandler[TextIO]]

    def __init__(self, name: str = "") -> None:
        self.name = name

    def _write(self, line: str) -> None:
        handler = self.handler
        # So that no line of a library comes into the middle of it.
        handler.acquire()
        try:
            handler.stream.write(f"{line}\n")
            handler.flush()
        except (OSError, ValueError):
            # As `logging` has it: whoever reads the log has gone away, and no job is to fail of that.
            pass
        finally:
            handler.release()

    debug = info = warning = error = critical = _write


def _name_job(record: logging.LogRecord) -> bool:
    """Celery says how each task ended, when our hands are off it; that line, too, is to be found by the job's id."""
    if isinstance(record.args, Mapping) and isinstance(record.args.get("id"), str):
        record.job_id = record.args["id"]
    return True


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Celery's tells anything: that a job has to wait is no warning, and its traceback no help."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(getattr(error, "reason", None), Parked | Collected)


def json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """A line as JSON; what JSON does not have is shown as text."""
    try:
        return to_json(event, fallback=repr).decode()
    except PydanticSerializationError:
        # Half a surrogate pair has no UTF-8.
        return json.dumps(event, default=repr)


def plain_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """A line as structlog's own renderer writes it without colours, for a fifth of the CPU; each call has one."""
    told = [event.pop(name) for name in ("stack", "exception") if name in event]
    head = f"{event.pop('timestamp', '')} [{event.pop('level', ''):<9}] {event.pop('event', '')!s:<30}"
    logger = f" [{event.pop('logger')}]" if "logger" in event else ""
    fields = "".join(f" {name}={_shown(event[name])}" for name in sorted(event))
    return "\n".join([f"{head}{logger}{fields}", *told])


def _shown(value: object) -> str:
    """A value of a field; quoted where it would not be told from what follows."""
    return value if isinstance(value, str) and _UNQUOTED.fullmatch(value) else repr(value)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what is named like a secret or looks like one.

    The second line of defence: nobody logs secrets on purpose.
    """
    texts: list[str] = []
    # Most lines hold none, which a single look at all their texts together tells.
    if _is_open(event, texts, _DEPTH) and not _SECRET_MARK.search("\0".join(texts).lower()):
        return event
    return {name: _masked(name, value, _DEPTH) for name, value in event.items()}


def _is_open(event: Mapping[str, Any], texts: list[str], depth: int) -> bool:
    """Whether nothing in here is named like a secret, and all that could look like one is text, gathered in `texts`."""
    for name, value in event.items():
        kind = type(value)
        if kind in _NO_TEXT:
            continue
        if not isinstance(name, str) or _is_secret_name(name):
            return False
        if kind is str:
            texts.append(value)
        elif kind is not dict or depth == 0 or not _is_open(value, texts, depth - 1):
            return False
    return True


def _masked(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth > 0:
        if isinstance(value, Mapping):
            return {str(key): _masked(str(key), part, depth - 1) for key, part in value.items()}
        return [_masked(name, part, depth - 1) for part in value]
    if _is_secret_name(name):
        return MASK
    text = value if isinstance(value, str) else repr(value)
    return _SECRET_TEXT.sub(MASK, text) if _SECRET_MARK.search(text.lower()) else text


@lru_cache(maxsize=1_000)
def _is_secret_name(name: str) -> bool:
    return name not in _HARMLESS and _SECRET_NAME.search(name) is not None
