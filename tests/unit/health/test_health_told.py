"""Whoever asks for a worker's health is told: by file, by HTTP, by systemd's socket, and by the log."""

import json
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.types import WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import pytest

from tests.support import ManualClock
from workers.health import Health, Heart, Part, Problem, Reach, Stage, Terms
from workers.health.__main__ import main
from workers.health.file import NoPulse, read_pulse, write_pulse
from workers.health.serving import with_health
from workers.health.systemd import notify
from workers.health.watch import Watch

PROBLEM = Problem(what="it stands", mend="push it")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def heart(clock: ManualClock) -> Heart:
    """Of a worker that is well."""
    heart = Heart(Terms(patience=30, drain=60), now=clock.monotonic)
    heart.enter(Stage.CONSUMING)
    for reach in Reach:
        heart.note(reach)
    for part in Part:
        heart.beat(part)
    return heart


def health(*problems: Problem, live: bool = True, stage: Stage = Stage.CONSUMING) -> Health:
    return Health(live=live, ready=live and not problems, stage=stage, problems=problems)


def test_another_process_reads_from_a_file_what_the_worker_knew(heart: Heart, tmp_path: Path) -> None:
    path = tmp_path / "health"
    write_pulse(path, heart.pulse())
    heart.enter(Stage.DRAINING)
    write_pulse(path, heart.pulse())

    assert read_pulse(path) == heart.pulse()
    assert [file.name for file in tmp_path.iterdir()] == ["health"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pid": 1}'], ids=repr)
def test_a_file_that_no_worker_wrote_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "health"
    with pytest.raises(NoPulse, match="no worker writes"):
        read_pulse(path)
    path.write_text(text)

    with pytest.raises(NoPulse, match="restart the worker"):
        read_pulse(path)


def asked(app: Callable[..., Iterable[bytes]], path: str) -> tuple[str, bytes]:
    environ: WSGIEnvironment = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start(status: str, _headers: Any, _error: Any = None) -> Any:
        statuses.append(status)

    body = b"".join(app(environ, start))
    return statuses[0], body


def metrics(_environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"metrics"]


def test_a_worker_answers_by_http_beside_its_metrics(heart: Heart, clock: ManualClock) -> None:
    app = with_health(metrics, heart, now=clock.monotonic)
    ok, broken = "200 OK", "503 Service Unavailable"

    assert [asked(app, path)[0] for path in ("/healthz", "/readyz")] == [ok, ok]
    assert asked(app, "/metrics") == (ok, b"metrics")
    heart.enter(Stage.DRAINING)
    assert [asked(app, path)[0] for path in ("/healthz", "/readyz")] == [ok, broken]
    clock.seconds += 31
    status, body = asked(app, "/healthz")

    assert status == broken
    told = json.loads(body)
    assert (told["live"], told["ready"], told["stage"]) == (False, False, "draining")
    assert all(problem.keys() == {"what", "mend"} for problem in told["problems"])


@pytest.fixture
def systemd(tmp_path: Path) -> Iterable[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield channel


def test_systemd_hears_that_a_worker_moves_and_nothing_of_one_that_is_stuck(
    systemd: socket.socket, tmp_path: Path
) -> None:
    there = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    notify(health(), there)
    notify(health(PROBLEM, stage=Stage.DRAINING), there)
    notify(health(PROBLEM, live=False), there)
    notify(health(), {})
    notify(health(), {"NOTIFY_SOCKET": str(tmp_path / "nobody")})

    assert systemd.recv(1_000).decode().splitlines() == ["READY=1", "WATCHDOG=1", "STATUS=consuming"]
    assert systemd.recv(1_000).decode().splitlines() == [
        "READY=1",
        "WATCHDOG=1",
        "STATUS=draining; it stands",
        "STOPPING=1",
    ]
    with pytest.raises(BlockingIOError):
        systemd.recv(1_000)


def test_a_watch_writes_tells_and_logs_when_a_worker_gets_stuck_and_when_it_moves_again(
    heart: Heart, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[bool] = []
    watch = Watch(heart, path=tmp_path / "health", tell=lambda one: told.append(one.live), now=clock.monotonic)

    watch.look()
    clock.seconds += 31
    watch.look()
    watch.look()
    heart.beat(Part.LOOP)
    heart.beat(Part.CONSUMER)
    watch.look()

    assert told == [True, False, False, True]
    assert read_pulse(tmp_path / "health") == heart.pulse()
    log = capsys.readouterr().out
    assert (log.count("worker_stuck"), log.count("worker_moves_again")) == (1, 1)


def test_a_file_that_cannot_be_written_is_told_once_and_stops_nothing(
    heart: Heart, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[bool] = []
    watch = Watch(heart, path=tmp_path / "no" / "health", tell=lambda one: told.append(one.live), now=clock.monotonic)

    watch.look()
    watch.look()

    assert told == [True, True]
    assert capsys.readouterr().out.count("health_not_written") == 1


def test_a_probe_is_told_by_an_exit_code_and_json(
    heart: Heart, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "health"
    environment = {"BYOM_HEALTH_FILE": str(path)}
    monkeypatch.setattr("workers.health.__main__.time", SimpleNamespace(monotonic=lambda: 1.0))

    assert (main([], {}), main(["--raedy"], environment), main([], environment)) == (2, 2, 3)
    heart.enter(Stage.DRAINING)
    write_pulse(path, heart.pulse())
    capsys.readouterr()
    assert (main([], environment), main(["--ready"], environment)) == (0, 1)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["live"], one["ready"]) for one in told] == [(True, False)] * 2
    monkeypatch.setattr("workers.health.__main__.time", SimpleNamespace(monotonic=lambda: 100.0))
    assert main([], environment) == 1
