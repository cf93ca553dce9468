"""docs/events.md against the code: its examples are read, its snippet is run, its tables are compared."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from config.store import MemoryStore
from config.webhooks import DEFAULT_KINDS, rotate_secret, save_webhook, signing_secrets
from tasks.contract.events import DATA, Event, EventKind, JobEnded
from workers.notify.deliverer import _PER_TARGET
from workers.notify.events import WINDOW
from workers.notify.folding import TABLE
from workers.notify.outbox import Limits
from workers.notify.signing import signed_headers

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
EXAMPLES: list[dict[str, Any]] = [
    json.loads(text) for language, kind, text in BLOCKS if (language, kind) == ("json", "event")
]
[SNIPPET] = [text for language, _, text in BLOCKS if language == "python"]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    lines = PAGE.partition(f"{heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


def test_every_block_is_of_a_kind_that_is_tested_here() -> None:
    assert {(language, label) for language, label, _ in BLOCKS} == {("json", "event"), ("python", ""), ("console", "")}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['type']} {example['id'][:8]}")
def test_an_example_is_what_the_code_writes(example: dict[str, Any]) -> None:
    event = Event.model_validate(example)

    assert isinstance(event.type, EventKind)
    assert type(event.data) is DATA[event.type]
    assert event.model_dump(mode="json", exclude_none=True) == example


def test_every_kind_has_an_example() -> None:
    assert {example["type"] for example in EXAMPLES} == set(EventKind)


def test_the_callback_is_among_the_examples() -> None:
    datas = [Event.model_validate(example).data for example in EXAMPLES]

    assert [data.job_id for data in datas if isinstance(data, JobEnded) and data.result is not None]


def test_the_table_of_codes_is_the_codes_own() -> None:
    told = {code: (kind, error_code or None) for code, kind, error_code in rows("### Folded events")}

    assert told == {code.value: (row.kind.value, row.code) for code, row in TABLE.items() if row is not None}


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the snippet, with the secret of a webhook."""
    store, now = MemoryStore(), datetime.now(UTC)
    webhook = save_webhook(store, "/byom/projects/acme", "ops", url="https://hooks.example.com", now=now)
    [secret] = signing_secrets(store, webhook, now=now)
    webhook = rotate_secret(store, webhook, now=now, overlap=timedelta(days=1))
    monkeypatch.setenv("WEBHOOK_SECRET", secret.get_secret_value())
    names: dict[str, Any] = {"secrets": signing_secrets(store, webhook, now=now)}
    exec(compile(SNIPPET, "docs/events.md", "exec"), names)  # noqa: S102 - that it runs is what is tested
    return names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['type']} {example['id'][:8]}")
def test_the_snippet_takes_what_we_sign_once_also_while_the_secret_is_replaced(
    received: dict[str, Any], example: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    body = Event.model_validate(example).model_dump_json(exclude_none=True)
    headers = signed_headers(received["secrets"], message_id=example["id"], at=datetime.now(UTC), body=body)

    assert [received["receive"](body.encode(), headers) for _ in range(2)] == [204, 204]
    assert capsys.readouterr().out.count(example["type"]) == 1


def test_the_snippet_refuses_what_we_did_not_sign(received: dict[str, Any]) -> None:
    headers = signed_headers(received["secrets"], message_id="m", at=datetime.now(UTC), body="{}")
    late = datetime.now(UTC) - timedelta(minutes=6)

    assert received["receive"](b'{"id": "forged"}', headers) == 401
    assert received["receive"](b"{}", signed_headers(received["secrets"], message_id="m", at=late, body="{}")) == 401


def test_the_numbers_told_are_those_of_the_code() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    told = dict(re.findall(r"`BYOM_([A-Z_]+)` \(([\d,]+)\)", PAGE))
    assert {name.lower(): int(number.replace(",", "")) for name, number in told.items()} == {
        name: defaults[name]
        for name in (
            "events_kept",
            "webhook_timeout",
            "webhook_concurrency",
            "webhook_failed_kept",
            "callback_max_bytes",
        )
    }
    assert defaults["webhook_backoff"] == (30, 2 * 60, 10 * 60, 30 * 60)
    assert "30 seconds, 2 minutes, 10 minutes and 30 minutes (`BYOM_WEBHOOK_BACKOFF`), five times in all" in PAGE
    assert f"every {WINDOW} seconds" in PAGE
    assert f"at most {_PER_TARGET} at once over all workers" in PAGE
    assert f"At most {Limits().waiting:,} deliveries" in PAGE
    assert Limits().failed_ttl == 7 * 86_400
    assert DEFAULT_KINDS == ("byom.*", "backfill.completed")
