"""Runs `byom` in this process, in a directory of its own, with no settings from outside."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from config.settings import load_settings
from config.store import FileStore
from tests.unit.cli.config_files import fill
from tests.unit.cli.fake_producer import FakeProducer
from workers.cli.root import app
from workers.embedded.simulator import Latency, Options, SimulatorThread

Byom = Callable[..., Result]

#: What `$MY_KEY` holds.
SECRET = "sk-canary-7d0c1a55e2"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory that commands run in."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("BYOM_", "FLOWER_"))]:
        del os.environ[name]
    # Nobody listens there: no test may announce anything on a Redis that happens to run on this machine.
    os.environ["BYOM_BROKER_URL"] = "redis://127.0.0.1:1/0"
    load_settings.cache_clear()
    yield tmp_path
    # Flags reach settings through the environment, which outlives the command here.
    os.environ.clear()
    os.environ.update(before)
    load_settings.cache_clear()


#: Built once: typer's own runner builds the whole tree of commands again for each command line.
COMMAND = typer.main.get_command(app)


@pytest.fixture
def byom(home: Path, monkeypatch: pytest.MonkeyPatch) -> Byom:
    """Runs one command line."""
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        load_settings.cache_clear()
        return CliRunner().invoke(app, list(arguments), input=stdin, catch_exceptions=False)

    return run


@pytest.fixture
def store(home: Path) -> FileStore:
    """The store that commands use by default."""
    return FileStore(home / ".byom" / "store.json")


@pytest.fixture
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key where `--key-env MY_KEY` finds it."""
    monkeypatch.setenv("MY_KEY", SECRET)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    """What `byom enqueue` and `byom result` speak with."""
    made = FakeProducer()
    for module in ("enqueue", "result"):
        monkeypatch.setattr(f"workers.cli.{module}.open_producer", lambda _settings: made)
    return made


@pytest.fixture
def vendors() -> Iterator[SimulatorThread]:
    with SimulatorThread(Options(latency=Latency.fixed(0), seed=1)) as running:
        yield running


#: File → content, as the first test that needs it made it.
_FILLED: dict[str, bytes] = {}


@pytest.fixture
def filled(byom: Byom, store: FileStore, home: Path) -> Path:
    """A store with an account and two projects, and its export."""
    if not _FILLED:
        fill(byom)
        files = (path for path in home.rglob("*") if path.is_file())
        _FILLED.update({str(path.relative_to(home)): path.read_bytes() for path in files})
    (home / ".byom").mkdir(mode=0o700, exist_ok=True)
    for name, content in _FILLED.items():
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    return home / "byom.yaml"


def document(store: FileStore, scope: str, name: str = "primary") -> Any:
    parameter = store.get(f"{scope}/connections/{name}")
    return None if parameter is None else json.loads(parameter.value.get_secret_value())
