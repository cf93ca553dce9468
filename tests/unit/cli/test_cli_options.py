"""How option values are read."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer

from tests.unit.cli.conftest import Byom
from workers.cli.options import identifier, since
from workers.cli.worker import queue_names

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T08:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_since_is_a_span_or_a_date(text: str, expected: datetime) -> None:
    assert since(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "24", "h", "-1h", "99999999999d", "2026-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        since(text, now=NOW)


@pytest.mark.parametrize("name", ["acme", "a", "Acme-2.prod_x", "9"])
def test_names_pass(name: str) -> None:
    assert identifier(name) == name


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "-a", "a b", "ä", "a\n", "x" * 129])
def test_names_that_could_leave_their_place_do_not(name: str) -> None:
    with pytest.raises(typer.BadParameter):
        identifier(name)


def test_a_key_that_was_pasted_where_a_name_belongs_is_refused_and_not_quoted() -> None:
    with pytest.raises(typer.BadParameter, match="looks like an OpenAI key, not like a name") as caught:
        identifier("sk-proj-0815canary")

    assert "0815" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("openai", ["extract.openai"]),
        ("byom.extract, anthropic,extract.gemini", ["byom.extract", "extract.anthropic", "extract.gemini"]),
    ],
)
def test_queues_are_named_by_provider_or_in_full(text: str | None, expected: list[str]) -> None:
    assert queue_names(text) == expected


@pytest.mark.parametrize("text", ["celery", "openai,nonsense", ",", ""])
def test_a_queue_that_nobody_writes_to_is_refused(byom: Byom, text: str) -> None:
    assert byom("worker", "--queues", text).exit_code == 2
