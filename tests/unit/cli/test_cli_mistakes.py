"""Mistakes that any command line may hold: each ends with one line that says what to mend, never with a traceback."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.support.pool import ROOT
from tests.unit.cli.conftest import Byom
from workers.cli import models as models_command
from workers.embedded.valkey import EmbeddedValkey

#: Half a character: what Python makes of a byte of a command line that is not UTF-8.
HALF = "\udcff"
LONG = "x" * 5_000

MISTAKES = {
    "an address that is none": (["doctor", "--flower-url=nope"], "--flower-url is no URL"),
    "an address with a line in it": (["doctor", "--flower-url=\n"], "--flower-url is no URL"),
    "an address that is no text": (["doctor", f"--flower-url={HALF}"], "--flower-url is no URL"),
    "a span that is none": (["usage", "--since=5x"], "for '--since': '5x' is neither a span such as 24h"),
    "an end that is none": (["usage", "--until=2026-13-45"], "for '--until': '2026-13-45' is neither a span"),
    "a bound of letters that is none": (["dead", "list", "--until=x\ny"], "for '--until': 'x?y' is neither a span"),
    "an overlap that is none": (["webhook", "rotate", "h", "-p", "acme", "--overlap=x"], "for '--overlap': 'x' is"),
    "a span beyond all dates": (["events", f"--since={'9' * 12}d"], "for '--since': '999999999999d' is further back"),
    "a place for data that can be none": (["up", "--data-dir=jobs/data"], "Not a directory; name a directory with"),
    "an address of another machine": (["simulator", "--host=203.0.113.9"], "choose others with --host and --port"),
    "an id that is empty": (["result", ""], "the job's id is empty"),
    "a bound beyond all numbers": (["dead", "list", f"--limit={'9' * 30}"], "--limit"),
    "a bound of what is replayed": (["dead", "replay", f"--limit={'9' * 30}"], "--limit"),
    "a name that is too long for a file": (["usage", "export", f"--out={LONG}"], "too long for a file"),
    "a backfill that is to end unasked": (["backfill", "cancel", "old", "--json"], "--yes with --json"),
    "a report in another encoding": (["usage", "reconcile", "latin", "--provider", "openai"], "no text in UTF-8"),
}


@pytest.fixture(autouse=True)
def files(home: Path) -> None:
    (home / "jobs").write_text('{"project": "acme", "episodes": [{"id": "e", "content": "said"}]}\n', encoding="utf-8")
    (home / "latin").write_bytes(b"\xe9t\xe9\n")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_two_and_says_the_mend(byom: Byom, mistake: str) -> None:
    arguments, said = MISTAKES[mistake]

    ended = byom(*arguments)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.split())


@pytest.mark.usefixtures("key")
def test_earlier_results_of_a_name_that_is_too_long_are_such_a_mistake(byom: Byom) -> None:
    byom(
        *("connection", "add", "-p", "acme", "--provider", "openai", "--model", "gpt-6-luna"),
        *("--key-env", "MY_KEY", "--no-verify"),
    )

    ended = byom("backfill", "plan", "jobs", "-p", "acme", f"--results={LONG}")

    assert ended.exit_code == 2
    assert "too long for a file" in ended.stderr


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [("result", HALF), ("dead", "show", HALF)])
def test_a_word_that_is_no_text_is_named_by_its_place(
    byom: Byom, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)

    ended = byom(*arguments)

    assert ended.exit_code == 2
    assert f"word {len(arguments)} of the command line is no text in UTF-8" in ended.stderr


def test_a_name_of_a_file_need_not_be_text(byom: Byom, home: Path) -> None:
    ended = byom("schema", "--dir", HALF, "--json")

    assert ended.exit_code == 0, ended.stderr
    assert all(name.startswith(HALF) for name in json.loads(ended.stdout)["written"])
    assert list((home / HALF).iterdir())


def test_output_that_cannot_be_written_says_so(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(models_command, "print_json", full)

    ended = byom("models", "--json")

    assert ended.exit_code == 1
    assert "the output cannot be written: No space left on device" in json.loads(ended.stderr)["error"]["message"]


@pytest.mark.integration
def test_a_full_disk_ends_a_real_process_with_one_line(home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "workers.cli", "models"],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )

    assert ended.returncode == 1
    assert "the output cannot be written" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_the_broker_says_is_shown_without_the_number_of_the_error(byom: Byom) -> None:
    ended = byom("lanes", "list")

    assert ended.exit_code == 3
    assert "the broker does not answer: connecting to 127.0.0.1:1. Connection refused. Is it running" in ended.stderr


def test_a_store_that_is_no_file_or_no_store_is_not_mended_into_one(
    byom: Byom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {}
    (home / "folder").mkdir()
    (home / "package.json").write_text('{"name": "mine"}', encoding="utf-8")
    (home / "package.json").chmod(0o600)
    for name in ("/dev/null", "folder", "package.json"):
        monkeypatch.setenv("BYOM_STORE_URL", f"file:{name}")
        ended = byom("project", "set", "-p", "acme")
        assert ended.exit_code == 3
        said[name] = ended.stderr

    assert "the store /dev/null is no file; name one in BYOM_STORE_URL" in said["/dev/null"]
    assert "Is a directory; BYOM_STORE_URL is to name a file" in said["folder"]
    assert "name another file in BYOM_STORE_URL" in said["package.json"]
    assert (home / "package.json").read_text(encoding="utf-8") == '{"name": "mine"}'
