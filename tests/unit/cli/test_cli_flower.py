"""What `byom flower` starts, and what it refuses."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.settings import Settings
from tests.unit.cli.conftest import Byom
from workers.monitoring import process
from workers.monitoring.access import Access
from workers.monitoring.process import MAX_TASKS, Listening


class Started:
    """Stands in for the process; tells what it was started with."""

    def __init__(self) -> None:
        self.listening: Listening | None = None
        self.access: Access | None = None
        self.open_metrics: bool | None = None

    def run(self, _settings: Settings, listening: Listening, access: Access, *, open_metrics: bool) -> None:
        self.listening, self.access, self.open_metrics = listening, access, open_metrics


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    found = Started()
    monkeypatch.setattr(process, "run_flower", found.run)
    return found


def test_by_itself_it_listens_here_with_a_login_that_it_tells(byom: Byom, started: Started) -> None:
    result = byom("flower")

    assert result.exit_code == 0
    assert started.listening == Listening(address="127.0.0.1", port=5555, max_tasks=MAX_TASKS)
    assert started.access is not None
    user, _, password = started.access.logins[0].partition(":")
    assert f"user {user}, password {password}" in result.stderr
    assert result.stdout == ""
    assert started.open_metrics is False


def test_a_login_of_ones_own_is_never_printed(byom: Byom, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_FLOWER_AUTH", "ada:hunter2")

    result = byom("flower", "--address", "0.0.0.0", "--port", "8080", "--max-tasks", "500", "--open-metrics")

    assert started.access == Access(logins=("ada:hunter2",))
    assert started.listening == Listening(address="0.0.0.0", port=8080, max_tasks=500)
    assert started.open_metrics is True
    assert "hunter2" not in result.output


def test_a_file_of_logins(byom: Byom, started: Started, home: Path) -> None:
    (home / "logins").write_text("ada:one\nbob:two\n", encoding="utf-8")

    byom("flower", "--basic-auth-file", "logins")

    assert started.access == Access(logins=("ada:one", "bob:two"))


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--address", "0.0.0.0"], "Set BYOM_FLOWER_AUTH=USER:PASSWORD"),
        (["--address", "0.0.0.0", "--no-auth"], "Leave --no-auth out"),
        (["--basic-auth-file", "nowhere"], "cannot read the logins in nowhere"),
    ],
)
def test_it_never_stands_open_to_others(byom: Byom, started: Started, arguments: list[str], mend: str) -> None:
    result = byom("flower", *arguments)

    assert result.exit_code == 2
    assert mend in result.stderr
    assert started.listening is None


def test_on_this_machine_one_can_do_without_a_login(byom: Byom, started: Started) -> None:
    result = byom("flower", "--no-auth")

    assert started.access == Access()
    assert "password" not in result.output


@pytest.mark.parametrize(
    ("environ", "flags", "listening"),
    [
        ({}, {}, ("127.0.0.1", 5555, MAX_TASKS)),
        ({"FLOWER_ADDRESS": "::1", "FLOWER_PORT": "1", "FLOWER_MAX_TASKS": "7"}, {}, ("::1", 1, 7)),
        ({"FLOWER_ADDRESS": ""}, {}, ("", 5555, MAX_TASKS)),
        (
            {"FLOWER_ADDRESS": "::1", "FLOWER_PORT": "1", "FLOWER_MAX_TASKS": "7"},
            {"address": "127.0.0.1", "port": 2, "max_tasks": 8},
            ("127.0.0.1", 2, 8),
        ),
    ],
)
def test_flags_beat_flowers_own_variables(
    environ: Mapping[str, str], flags: dict[str, Any], listening: tuple[str, int, int]
) -> None:
    found = Listening.of(environ, **{"port": None, "address": None, "max_tasks": None, **flags})

    assert (found.address, found.port, found.max_tasks) == listening


def test_the_login_that_was_chosen_is_the_one_that_flower_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    flower = SimpleNamespace()
    monkeypatch.setattr(process, "options", flower)
    monkeypatch.setattr(process, "apply_env_options", lambda: setattr(flower, "basic_auth", ["from:environment"]))

    listening = Listening(address="127.0.0.1", port=1, max_tasks=7)
    process._set_options(listening, Access(logins=("ada:hunter2",)))

    assert flower.basic_auth == ["ada:hunter2"]
    assert (flower.address, flower.port, flower.max_tasks) == ("127.0.0.1", 1, 7)


@pytest.mark.parametrize("name", ["FLOWER_PORT", "FLOWER_MAX_TASKS"])
def test_a_variable_that_is_no_number_is_told_of(
    byom: Byom, started: Started, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "many")

    result = byom("flower")

    assert result.exit_code == 2
    assert f"{name} is not a number" in result.stderr
