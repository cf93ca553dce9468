import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from workers.log import MASK, configure_logging, plain_line, redact


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("botocore", "celery.pool", "httpx")}
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_look_the_same(logged: io.StringIO) -> None:
    configure_logging("json", "INFO", stream=logged)

    structlog.get_logger("workers.x").info("job parked", project="acme", episodes=3)
    logging.getLogger("celery.worker").warning("lost %s of %s", 1, 2)

    ours, theirs = lines(logged)
    assert (ours["event"], ours["project"], ours["episodes"]) == ("job parked", "acme", 3)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost 1 of 2", "warning", "celery.worker")
    assert ours.keys() - {"project", "episodes"} == theirs.keys() == {"event", "level", "logger", "timestamp"}


def test_text_is_for_people_and_has_colours_on_a_terminal_only(
    logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("text", "INFO", stream=logged)
    logging.getLogger("x").info("plain")
    monkeypatch.setattr(logged, "isatty", lambda: True)
    configure_logging("text", "INFO", stream=logged)
    logging.getLogger("x").info("coloured")

    plain, coloured = logged.getvalue().splitlines()
    assert "plain" in plain
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured


def test_plain_lines_look_as_structlog_writes_them() -> None:
    event = {
        "timestamp": "2026-11-26T10:00:00Z",
        "level": "info",
        "event": "attempt",
        "logger": "workers.engine.attempts",
        "words": "a b",
        "equals": "a=b",
        "quote": "it's",
        "lines": "a\nb",
        "empty": "",
        "none": None,
        "count": 3,
        "plain": "gpt-6-luna",
        "deep": {"input": 5},
        "exception": "Traceback\nValueError: 3",
    }
    structlogs = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)

    assert plain_line(None, "info", dict(event)) == structlogs(None, "info", dict(event))


def test_a_line_is_written_whatever_is_in_it(logged: io.StringIO) -> None:
    configure_logging("json", "INFO", stream=logged)

    structlog.get_logger("workers.x").info("é", half="\ud83d", odd=b"\xff", numbers=(1, 2))

    (line,) = lines(logged)
    assert (line["event"], line["half"], line["odd"], line["numbers"]) == ("é", "\ud83d", "b'\\xff'", [1, 2])


def test_the_level_holds(logged: io.StringIO) -> None:
    configure_logging("json", "WARNING", stream=logged)

    structlog.get_logger("workers.x").info("quiet")
    logging.getLogger("x").info("quiet")
    structlog.get_logger("workers.x").warning("loud")

    assert [line["event"] for line in lines(logged)] == ["loud"]


def test_a_log_that_nobody_takes_any_more_fails_no_job(logged: io.StringIO) -> None:
    configure_logging("json", "INFO", stream=logged)
    logged.close()

    structlog.get_logger("workers.x").info("job parked")


def test_a_logger_that_was_used_before_writes_to_where_the_process_logs_now(logged: io.StringIO) -> None:
    before = io.StringIO()
    configure_logging("json", "INFO", stream=before)
    log = structlog.get_logger("workers.x")
    log.info("first")
    configure_logging("json", "INFO", stream=logged)

    log.error("second")

    assert [[line["event"] for line in lines(stream)] for stream in (before, logged)] == [["first"], ["second"]]


def test_libraries_that_log_secrets_stay_above_debug(logged: io.StringIO) -> None:
    configure_logging("json", "DEBUG", stream=logged)

    logging.getLogger("botocore.parsers").debug("the parameter as SSM returned it")
    logging.getLogger("celery.pool").debug("TaskPool: Apply with all arguments")
    logging.getLogger("httpx").info("HTTP Request: a URL")

    assert logged.getvalue() == ""


def test_warnings_and_tracebacks_are_lines_too(logged: io.StringIO) -> None:
    configure_logging("json", "INFO", stream=logged)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind sk-abcdefghijkl", UserWarning, stacklevel=1)
    try:
        int("AIzaSyA1234567890abcdefghijklm")
    except ValueError:
        logging.getLogger("x").exception("failed")

    warned, failed = lines(logged)
    assert f"mind {MASK}" in warned["event"]
    assert f"base 10: '{MASK}'" in failed["exception"]


def test_the_extra_data_that_celery_attaches_is_not_printed(logged: io.StringIO) -> None:
    configure_logging("json", "INFO", stream=logged)

    logging.getLogger("celery.app.trace").info("done", extra={"data": {"args": "what somebody said"}})

    assert "somebody" not in logged.getvalue()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdEFGH1234_5678",
        "sk-ant-api03-abcdefgh",
        "AIzaSyA1234567890abcdefghijklmnopqrstuvw",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "ya29.a0AfH6SMBx-abcdef",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_key_is_masked_anywhere(secret: str) -> None:
    event = {"event": f"call with {secret} failed", "deep": [{"x": {"y": (f"<{secret}>",)}}], "odd": ValueError(secret)}

    text = repr(redact(None, "info", event))

    assert secret not in text
    assert text.count(MASK) == 3


@pytest.mark.parametrize(
    "event",
    [
        {"usage": {"input": 5, "source": {"said": "sk-proj-abcdEFGH1234"}}},
        {"status": "ok", "price": {"deep": {"api_key": "abc"}}},
        {"status": "ok", "seen": {"sk-proj-abcdEFGH1234"}},
        {"status": "ok", "body": b"sk-proj-abcdEFGH1234"},
        {"first": "x", "last": "Bearer abcd"},
    ],
)
def test_a_secret_is_masked_wherever_it_stands_in_a_line(event: dict[str, Any]) -> None:
    text = repr(redact(None, "info", event))

    assert MASK in text
    assert not any(part in text for part in ("sk-proj", "abc"))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def-123 sent", f"Authorization: Bearer {MASK} sent"),
        ("redis://user:pa55@host:6379/0", f"redis://{MASK}@host:6379/0"),
        ("redis://:pa55@host:6379/0", f"redis://{MASK}@host:6379/0"),
        ("x-goog-api-key: abc123", f"x-goog-api-key: {MASK}"),
        ("http://127.0.0.1:8080/x and a@b.c", "http://127.0.0.1:8080/x and a@b.c"),
        ("task 3f2b8c1e-aaaa-bbbb-cccc-0123456789ab done", "task 3f2b8c1e-aaaa-bbbb-cccc-0123456789ab done"),
        ("used 1200 tokens of model claude-haiku", "used 1200 tokens of model claude-haiku"),
    ],
)
def test_secrets_in_headers_and_urls_are_masked_and_nothing_else(text: str, masked: str) -> None:
    assert redact(None, "info", {"event": text}) == {"event": masked}


def test_values_are_masked_by_name() -> None:
    event = {
        "api_key": "abc",
        "Authorization": b"abc",
        "aws_secret_access_key": "abc",
        "session_token": "abc",
        "nested": {"password": "abc", "credential": "abc"},
        "input_tokens": 5,
        "max_token": 7,
        "idempotency_key": "abc",
        "routing_key": "abc",
        "project": "abc",
    }

    assert redact(None, "info", event) == {
        "api_key": MASK,
        "Authorization": MASK,
        "aws_secret_access_key": MASK,
        "session_token": MASK,
        "nested": {"password": MASK, "credential": MASK},
        "input_tokens": 5,
        "max_token": 7,
        "idempotency_key": "abc",
        "routing_key": "abc",
        "project": "abc",
    }
