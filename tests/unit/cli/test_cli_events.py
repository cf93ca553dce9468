"""`byom events`: what is kept, as asked for."""

import json
import os
import signal
from typing import Any

import fakeredis
import pytest

from tests.unit.cli.conftest import Byom
from workers.notify.events import EVENTS_KEY, JOB_EVENTS_KEY

#: Milliseconds of the first event.
FIRST = 1_795_000_000_000


def event(number: int, kind: str, **data: Any) -> str:
    return json.dumps({"id": f"evt_{number}", "type": kind, "timestamp": FIRST + number * 60_000, "data": data})


FOLDED = {"provider": "openai", "model": "gpt-6-luna", "count": 7, "window_seconds": 60, "causes": {"rate_limited": 7}}
TIMES = {"first_occurrence": FIRST, "last_occurrence": FIRST + 5_000}
EVENTS = [
    (EVENTS_KEY, event(0, "byom.rate_limited", project="acme", **FOLDED, **TIMES)),
    (JOB_EVENTS_KEY, event(1, "job.failed", project="acme", job_id="j1", status="failed", message="[red]no[/] answer")),
    (EVENTS_KEY, event(2, "byom.breaker_opened", project="globex", message="It keeps failing.")),
    (EVENTS_KEY, event(3, "byom.of_a_newer_worker", project="acme", what="this")),
]


@pytest.fixture(autouse=True)
def client(home: object, monkeypatch: pytest.MonkeyPatch) -> fakeredis.FakeRedis:
    made = fakeredis.FakeRedis()
    for number, (stream, text) in enumerate(EVENTS):
        made.xadd(stream, {"event": text}, id=f"{FIRST + number * 60_000}-0")
    monkeypatch.setattr("workers.cli.events.connect", lambda _url: made)
    return made


def ids(byom: Byom, *arguments: str) -> list[str]:
    result = byom("events", "--json", *arguments)
    assert result.exit_code == 0
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_both_streams_are_shown_in_the_order_of_what_happened(byom: Byom) -> None:
    assert ids(byom) == ["evt_0", "evt_1", "evt_2", "evt_3"]


def test_project_and_kinds_choose(byom: Byom) -> None:
    assert ids(byom, "--project", "acme") == ["evt_0", "evt_1", "evt_3"]
    assert ids(byom, "--kind", "job.failed", "--kind", "byom.breaker_opened") == ["evt_1", "evt_2"]
    assert byom("events", "--kind", "job.done").exit_code == 2


def test_only_what_happened_since_is_shown(byom: Byom) -> None:
    assert ids(byom, "--since", "2026-11-18T12:08:00+01:00") == ["evt_2", "evt_3"]
    assert ids(byom, "--since", "2026-11-18T12:08:00Z") == []


def test_people_get_one_line_each_with_what_counts(byom: Byom) -> None:
    lines = byom("events").stdout.splitlines()

    assert len(lines) == 4
    assert "byom.rate_limited  project 'acme', openai, gpt-6-luna: 7 in 60 s (rate_limited 7)" in lines[0]
    assert lines[1].endswith("job.failed  project 'acme', job j1 failed: [red]no[/] answer")
    assert lines[2].endswith("It keeps failing.")
    assert "this" in lines[3]


def test_no_events_are_no_error(byom: Byom) -> None:
    result = byom("events", "--project", "nobody")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "No such events" in result.stderr


def test_following_goes_on_with_what_comes_until_it_is_interrupted(
    byom: Byom, client: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = client.xread
    waits = 0

    def xread(positions: Any, block: int) -> Any:
        nonlocal waits
        waits += 1
        if waits == 1:
            client.xadd(EVENTS_KEY, {"event": EVENTS[2][1]})
            client.xadd(JOB_EVENTS_KEY, {"event": EVENTS[1][1]})
            return read(positions)
        os.kill(os.getpid(), signal.SIGINT)
        return read(positions)

    monkeypatch.setattr(client, "xread", xread)

    assert sorted(ids(byom, "--follow", "--project", "acme")) == ["evt_0", "evt_1", "evt_1", "evt_3"]
    assert waits == 2
