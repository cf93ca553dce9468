"""`byom worker` becomes a Celery worker with our flags and settings."""

import sys
from collections.abc import Mapping, Sequence

import pytest

from tests.unit.cli.conftest import Byom

Called = list[tuple[str, Sequence[str], Mapping[str, str]]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """What would have taken the process's place."""
    calls: Called = []
    monkeypatch.setattr("os.execve", lambda path, argv, env: calls.append((path, argv, env)))
    return calls


def test_the_worker_runs_our_pool_at_the_configured_concurrency(
    byom: Byom, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "7")
    byom("worker")

    [(path, argv, env)] = called
    assert path == argv[0] == sys.executable
    assert argv[1:3] == ["-m", "workers.celery_worker"]
    # The one of the configuration; Celery's own is not to be named.
    assert "--pool" not in argv
    assert argv[argv.index("--concurrency") + 1] == "7"
    assert env["BYOM_CONCURRENCY"] == "7"
    assert "--queues" not in argv


def test_flags_beat_the_environment_for_the_worker_and_its_runtime(
    byom: Byom, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "7")
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://elsewhere:1/0")
    byom("--broker-url", "redis://here:2/0", "worker", "-c", "9", "--queues", "openai", "--name", "fast")

    [(_path, argv, env)] = called
    assert argv[argv.index("--concurrency") + 1] == env["BYOM_CONCURRENCY"] == "9"
    assert argv[argv.index("--queues") + 1] == "extract.openai"
    assert argv[argv.index("--hostname") + 1] == "fast@%h"
    assert env["BYOM_BROKER_URL"] == "redis://here:2/0"


def test_no_secret_stands_on_the_command_line_of_the_worker(
    byom: Byom, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://:canary-password@127.0.0.1:6379/0")
    byom("worker")

    [(_path, argv, env)] = called
    assert "canary-password" not in " ".join(argv)
    assert "canary-password" in env["BYOM_BROKER_URL"]


def test_settings_that_do_not_fit_start_nothing(byom: Byom, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "many")
    result = byom("worker")

    assert result.exit_code == 2
    assert "BYOM_CONCURRENCY" in result.stderr
    assert called == []
