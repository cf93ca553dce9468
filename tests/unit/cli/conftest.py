"""Runs `byom` in this process, in a directory of its own, with no settings from outside."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from config.settings import load_settings
from config.store import FileStore
from workers.cli.root import app

Byom = Callable[..., Result]


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
