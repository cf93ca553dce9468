"""`byom up` and the commands around it, as a user runs them: real processes, a simulated provider."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from config.settings import Settings
from tasks.contract import EXTRACT_TASK
from workers.app import create_app
from workers.embedded.simulator import Latency, SimulatorThread

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
BYOM = [sys.executable, "-c", "from workers.cli import main; main()"]
KEY = "sk-canary-4f1d0be977"
MODEL = "gpt-6-luna"


class Up:
    """A running `byom up`, in a process group of its own like a terminal's foreground job."""

    def __init__(self, home: Path) -> None:
        self.home = home
        environ = {name: value for name, value in os.environ.items() if not name.startswith("BYOM_")}
        self.environ = {**environ, "MY_KEY": KEY, "BYOM_SHUTDOWN_TIMEOUT": "20"}
        self.process = subprocess.Popen(
            [*BYOM, "up", "--port", "0", "--flower-port", "0", "--json"],
            cwd=home,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.log: list[str] = []
        self._out: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=lambda: self._out.put(self._first_line()), daemon=True),
            threading.Thread(target=self._keep_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.ready: dict[str, Any] = json.loads(self._out.get(timeout=90))
        self.environ["BYOM_BROKER_URL"] = self.ready["broker_url"]

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _keep_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def byom(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another command against it."""
        return subprocess.run(
            [*BYOM, *arguments],
            cwd=self.home,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def ctrl_c(self) -> None:
        """As the terminal does it: to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        code = self.process.wait(timeout=60)
        self._readers[1].join(timeout=10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def is_gone(self) -> bool:
        """Whether none of its processes is left."""
        return not any(Path(f"/proc/{pid}").exists() for pid in self.ready["processes"].values())


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


Launch = Callable[[], Up]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts `byom up` in the same directory each time."""
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.ctrl_c()
            one.wait()


def connect_project(up: Up, simulator: SimulatorThread, project: str = "acme") -> None:
    base_url = simulator.base_urls["openai"]
    added = up.byom(
        "connection", "add", "-p", project, "--provider", "openai", "--model", MODEL,
        "--base-url", base_url, "--key-env", "MY_KEY",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    # Saving has made its test call; from here on the books hold what jobs call for, and nothing else.
    assert simulator.books(entries=0).served > 0
    simulator.reset()


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_laptop_from_nothing_to_memories_and_back(launch: Launch, simulator: SimulatorThread) -> None:
    up = launch()
    connect_project(up, simulator)

    with urllib.request.urlopen(f"{up.ready['flower_url']}/healthcheck", timeout=10) as answer:  # noqa: S310 - loopback
        assert answer.status == 200

    # A file: results in its order, each with memories or none.
    samples = ROOT / "examples" / "conversations.jsonl"
    sent = up.byom("enqueue", str(samples), "--project", "acme", "--wait", "--json", "--idempotent")
    results = documents(sent.stdout)
    assert sent.returncode == 0, sent.stderr
    assert [result["status"] for result in results] == ["succeeded"] * 24
    assert results[0]["episodes"][0]["facts"][0]["fact"] == "Ana Duarte moved to Porto."

    # The same file again runs nothing.
    served = simulator.books(entries=0).requests
    again = up.byom("enqueue", str(samples), "--project", "acme", "--json", "--idempotent")
    assert {document["duplicate"] for document in documents(again.stdout)} == {True}
    assert simulator.books(entries=0).requests == served

    # One result by its id, and the usage of all.
    one = up.byom("result", results[0]["job_id"], "--json")
    assert documents(one.stdout) == [results[0]]
    [row] = json.loads(up.byom("usage", "--by", "project", "--json").stdout)
    assert row["attempts"] == served
    assert sum(row["tokens"][kind] for kind in ("input", "cached_input", "cache_write", "output")) == (
        simulator.books(entries=0).billed.total
    )

    # A foreign producer, as the example shows it.
    foreign = subprocess.run(
        [sys.executable, ROOT / "examples" / "send_task.py", up.ready["broker_url"], "acme"],
        cwd=up.home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert foreign.returncode == 0, foreign.stderr
    assert "Ana Duarte moved to Porto." in foreign.stdout

    up.ctrl_c()
    assert up.wait() == 0
    assert up.is_gone()
    assert KEY not in "".join(up.log)
    assert all("moved to Porto" not in line for line in up.log)


def test_the_doctor_finds_all_well_and_then_a_job_in_the_wrong_queue(
    launch: Launch, simulator: SimulatorThread
) -> None:
    up = launch()
    connect_project(up, simulator)
    doctor = ("doctor", "--flower-url", up.ready["flower_url"], "--json")

    well = up.byom(*doctor)
    statuses = {check["name"]: check["status"] for check in json.loads(well.stdout)["checks"]}
    assert well.returncode == 0, well.stdout
    assert {statuses[name] for name in ("broker", "eviction", "persistence", "clock", "workers", "queue celery")} == {
        "ok"
    }

    job = {"project": "acme", "episodes": [{"id": "e1", "content": "Ana Duarte lives in Porto."}]}
    with redis.Redis.from_url(up.ready["broker_url"]) as client:
        client.lpush("celery", stray_message(up.ready["broker_url"], job))
        ill = up.byom(*doctor)
        [stray] = [check for check in json.loads(ill.stdout)["checks"] if check["name"] == "queue celery"]
        assert ill.returncode == 1
        assert stray["status"] == "fail"

        # The mend that it names heals it.
        client.lmove("celery", "byom.extract", "RIGHT", "LEFT")
    healed = up.byom("result", "stray-1", "--wait", "--timeout", "30", "--json")
    assert healed.returncode == 0, healed.stderr
    assert up.byom(*doctor).returncode == 0


def stray_message(url: str, job: dict[str, Any]) -> str:
    """What a producer publishes that forgot to name the queue."""
    from celery import Celery  # noqa: PLC0415 - a foreign app, made here only

    with Celery(broker=url, backend=url) as foreign, redis.Redis.from_url(url) as client:
        foreign.send_task(EXTRACT_TASK, args=[job], task_id="stray-1", queue="elsewhere")
        message = client.rpop("elsewhere")
    assert isinstance(message, bytes)
    return message.decode()


def test_ctrl_c_lets_a_job_in_hand_finish_and_a_new_start_finds_its_result(
    launch: Launch, simulator: SimulatorThread
) -> None:
    up = launch()
    connect_project(up, simulator)
    simulator.set_latency(Latency.fixed(3))
    line = json.dumps({"id": "e1", "content": "Ana Duarte lives in Porto."})
    [sent] = documents(up.byom("enqueue", "-", "--project", "acme", "--json", stdin=line).stdout)
    wait_until_running(up, sent["job_id"])

    up.ctrl_c()
    assert up.wait() == 0, up.log
    assert up.is_gone()

    second = launch()
    found = second.byom("result", sent["job_id"], "--json")
    assert found.returncode == 0, (found.stdout, found.stderr, up.log)
    assert json.loads(found.stdout)["status"] == "succeeded"
    assert simulator.books(entries=0).served == 1


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        threading.Event().wait(0.05)


def wait_until_running(up: Up, job_id: str) -> None:
    with create_app(Settings(broker_url=up.ready["broker_url"])) as app:
        wait_for(lambda: app.AsyncResult(job_id).state == "STARTED")


def test_a_second_ctrl_c_does_not_wait_for_jobs_in_hand(launch: Launch, simulator: SimulatorThread) -> None:
    up = launch()
    connect_project(up, simulator)
    simulator.set_latency(Latency.fixed(60))
    line = json.dumps({"id": "e1", "content": "Ana Duarte lives in Porto."})
    [sent] = documents(up.byom("enqueue", "-", "--project", "acme", "--json", stdin=line).stdout)
    wait_until_running(up, sent["job_id"])

    up.ctrl_c()
    wait_for(lambda: any("press Ctrl-C again" in line for line in up.log))
    began = time.monotonic()
    up.ctrl_c()

    assert up.wait() == 0
    assert time.monotonic() - began < 10
    assert up.is_gone()


@pytest.mark.parametrize("name", ["worker", "flower", "valkey"])
def test_if_a_process_dies_the_command_says_which_and_ends_with_1(launch: Launch, name: str) -> None:
    up = launch()
    with redis.Redis.from_url(up.ready["broker_url"]) as client:
        processes = {**up.ready["processes"], "valkey": client.info()["process_id"]}
    os.kill(processes[name], signal.SIGKILL)

    assert up.wait() == 1
    assert up.is_gone()
    error = json.loads(up.log[-1])["error"]
    assert error["process"] == name
    assert name in error["message"].lower()


def test_a_port_that_is_taken_is_a_usage_error(launch: Launch) -> None:
    up = launch()
    port = up.ready["broker_url"].rpartition(":")[2].partition("/")[0]

    second = up.byom("up", "--port", port, "--flower-port", "0", "--json")

    assert second.returncode == 2
    assert f"port {port} is taken" in json.loads(second.stderr.splitlines()[-1])["error"]["message"]
