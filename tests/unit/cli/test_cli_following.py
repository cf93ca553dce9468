"""Commands that go on: until a stop signal, over the absence of a server."""

import os
import signal
from collections.abc import Callable

import fakeredis
import pytest
import redis

from workers.cli import ledger
from workers.ledger.errors import LedgerUnavailable
from workers.ledger.stream import Cursor, RecordStream


def test_without_follow_a_command_runs_once_and_errors_end_it() -> None:
    runs: list[bool] = []

    def run(stop: Callable[[], bool]) -> Cursor:
        runs.append(stop())
        return Cursor()

    ledger.go_on(run, RecordStream(fakeredis.FakeRedis()), follow=False)
    assert runs == [False]

    def away(_stop: Callable[[], bool]) -> Cursor:
        raise redis.ConnectionError("away")

    with pytest.raises(redis.ConnectionError):
        ledger.go_on(away, RecordStream(fakeredis.FakeRedis()), follow=False)


def test_following_waits_for_servers_that_are_away_and_ends_when_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ledger, "_FIRST_RETRY", 0.001)
    script: list[Exception | None] = [redis.ConnectionError("no broker"), LedgerUnavailable("no database."), None, None]

    def run(stop: Callable[[], bool]) -> Cursor:
        assert not stop()
        outcome = script.pop(0)
        if outcome is not None:
            raise outcome
        if not script:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
        return Cursor()

    monkeypatch.setattr(ledger, "_WAIT", 0.001)
    ledger.go_on(run, RecordStream(fakeredis.FakeRedis()), follow=True)

    said = capsys.readouterr().err
    assert script == []
    assert "no broker. Trying again" in said
    assert "no database. Trying again" in said


def test_an_error_that_does_not_pass_ends_following_too() -> None:
    def run(_stop: Callable[[], bool]) -> Cursor:
        raise redis.ResponseError("WRONGTYPE")

    with pytest.raises(redis.ResponseError):
        ledger.go_on(run, RecordStream(fakeredis.FakeRedis()), follow=True)
