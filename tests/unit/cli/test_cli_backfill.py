"""`byom backfill` without workers: what it refuses, what it says, and what it leaves in the broker."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import FileStore
from tests.unit.cli.conftest import Byom
from workers.backfill.state import Phase, RedisBackfills
from workers.cli.backfill_run import name_of
from workers.cli.errors import ExitCode
from workers.embedded.valkey import EmbeddedValkey

Run = Callable[..., Any]


@pytest.fixture
def backfill(byom: Byom, store: FileStore, valkey: EmbeddedValkey) -> Run:
    """Runs `byom backfill …` against a Valkey, for a configured project."""
    save_project(store, "acme", account=None)
    save_credential(store, project_path("acme"), "main", SecretStr("sk-test"))
    save_connection(
        store,
        project_path("acme"),
        {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"},
    )
    return lambda *arguments: byom("--broker-url", valkey.url, "backfill", *arguments)


@pytest.fixture
def backfills(valkey: EmbeddedValkey) -> Iterator[RedisBackfills]:
    with redis.Redis.from_url(valkey.url) as client:
        yield RedisBackfills(client)


def write(path: Path, *lines: Any) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return str(path)


def good(number: int) -> dict[str, Any]:
    return {"id": f"e{number}", "content": f"Ada moved to Lisbon on day {number}."}


def ended(result: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_file_without_a_single_job_ends_at_once_and_says_why(backfill: Run, home: Path) -> None:
    file, out = write(home / "bad.jsonl", {"id": "e1"}, ["no object"]), home / "out.jsonl"

    result = backfill("run", file, "--project", "acme", "--out", str(out), "--json")

    assert result.exit_code == ExitCode.FAILED, result.stderr
    report = ended(result)
    assert (report["backfill"], report["state"], report["invalid"], report["done"]) == ("bad", "completed", 2, 2)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(line["line"], line["status"], line["failure"]["code"]) for line in lines] == [
        (1, "invalid", "invalid_job"),
        (2, "invalid", "invalid_job"),
    ]

    again = backfill("run", file, "--project", "acme", "--out", str(out), "--json")
    assert (again.exit_code, ended(again)["done"]) == (ExitCode.FAILED, 2)
    assert "2 invalid" in backfill("report", "bad").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["-", "--project", "acme"], "stdin cannot be read twice", id="stdin"),
        pytest.param(["missing.jsonl", "--project", "acme"], "cannot read", id="no file"),
        pytest.param(["a.jsonl", "--project", "nobody"], "nobody", id="no project"),
        pytest.param(["a.jsonl", "--project", "acme", "--out", "out.csv"], ".jsonl.gz, .parquet", id="no kind of sink"),
        pytest.param(["a.jsonl", "--project", "acme", "--out", "a.jsonl"], "is there already", id="its own input"),
        pytest.param(["a.jsonl", "--project", "acme", "--out", "no/out.jsonl"], "there is no folder", id="no folder"),
        pytest.param(["a.jsonl", "--project", "acme", "--where", "model=x"], "--results FILE", id="no results"),
        pytest.param(["a.jsonl", "--project", "acme", "--callback-url", "ftp://x"], "http or https", id="no callback"),
        pytest.param(
            ["a.jsonl", "--project", "acme", "--callback-url", "https://example.com/x"], "webhook secret", id="unsigned"
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_begins(
    backfill: Run, backfills: RedisBackfills, home: Path, arguments: list[str], said: str
) -> None:
    write(home / "a.jsonl", good(1))

    result = backfill("run", *arguments)

    assert result.exit_code == ExitCode.USAGE, result.stderr
    assert said in result.stderr.replace("\n", " ")
    assert backfills.all() == []


def paused(backfill: Run, backfills: RedisBackfills, home: Path, *options: str, count: int = 3) -> str:
    """A backfill with lines in flight, of which nothing comes, and that nobody drives."""
    file = write(home / "archive.jsonl", *(good(number) for number in range(count)))
    out = ["--out", str(home / "out.jsonl")]
    # A budget that allows nothing pauses it as soon as it is begun.
    result = backfill("run", file, "--project", "acme", *out, "--budget", "0.000000001", "--json", *options)
    assert (result.exit_code, ended(result)["state"]) == (ExitCode.FAILED, "paused"), result.stderr
    return file


def test_a_name_does_one_thing(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    paused(backfill, backfills, home)
    other = write(home / "other.jsonl", good(9))

    result = backfill("run", other, "--project", "acme", "--name", "archive", "--ordered")

    assert result.exit_code == ExitCode.USAGE
    assert "differs in the file, the file's content, --out, --ordered" in result.stderr.replace("\n", " ")


def test_a_file_that_was_changed_is_not_gone_on_with(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    file = paused(backfill, backfills, home)
    write(Path(file), good(1), good(2))

    result = backfill("resume", "archive", "--no-budget")

    assert result.exit_code == ExitCode.USAGE
    assert "is not the file that backfill 'archive' began with: its size (" in result.stderr.replace("\n", " ")


def test_one_process_drives_and_another_is_told_which(
    backfill: Run, backfills: RedisBackfills, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused(backfill, backfills, home)
    state = backfills.open("archive")
    lease = state.acquire("moon, process 7", seconds=30)
    state.load()

    def wait(seconds: float) -> bool:
        state.renew(lease)
        return False

    monkeypatch.setattr("workers.cli.signals.Stop.wait", lambda _, seconds: wait(seconds))

    result = backfill("resume", "archive", "--no-budget")

    assert result.exit_code == ExitCode.FAILED
    assert "is driven by moon, process 7" in result.stderr.replace("\n", " ")
    assert "driven by moon, process 7" in backfill("status", "archive").stdout


def test_pausing_is_heard_by_whoever_drives(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    paused(backfill, backfills, home)
    state = backfills.open("archive")
    state.change(Phase.RUNNING, after=[Phase.PAUSED])

    assert "stopped" in backfill("status", "archive").stdout
    assert "byom backfill resume archive" in backfill("status", "archive").stdout
    assert backfill("pause", "archive").exit_code == ExitCode.OK
    assert backfill("pause", "archive").exit_code == ExitCode.OK
    assert state.load().orders.phase is Phase.PAUSED


def test_cancelling_is_for_good(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    paused(backfill, backfills, home)

    assert backfill("cancel", "archive").exit_code != ExitCode.OK
    asked = backfill("cancel", "archive", "--json")
    assert (asked.exit_code, asked.stdout) == (ExitCode.USAGE, "")
    assert "--yes" in asked.stderr
    assert not backfills.open("archive").load().over
    result = backfill("cancel", "archive", "--yes", "--json")

    assert result.exit_code == ExitCode.OK, result.stderr
    assert ended(result)["state"] == "cancelled"
    assert backfill("cancel", "archive", "--yes").exit_code == ExitCode.OK
    for command in (["resume", "archive"], ["pause", "archive"]):
        assert backfill(*command).exit_code == ExitCode.USAGE
    assert "another --name" in backfill("resume", "archive").stderr.replace("\n", " ")


def test_one_whose_results_cannot_be_written_is_wound_up_once_they_can(
    backfill: Run, backfills: RedisBackfills, home: Path
) -> None:
    paused(backfill, backfills, home)
    results = home / "out.jsonl"
    results.unlink(missing_ok=True)
    results.mkdir()

    refused = backfill("cancel", "archive", "--yes")

    assert refused.exit_code == ExitCode.FAILED
    assert "Then: byom backfill cancel archive" in refused.stderr.replace("\n", " ")
    assert "byom backfill cancel archive" in backfill("status", "archive").stdout

    results.rmdir()
    assert ended(backfill("cancel", "archive", "--yes", "--json"))["state"] == "cancelled"


def test_nothing_is_said_of_what_is_not_there(backfill: Run) -> None:
    assert "There are no backfills" in backfill("list").stderr
    assert backfill("list", "--json").stdout == ""
    for command in ("status", "report", "pause", "resume"):
        result = backfill(command, "nothing")
        assert (result.exit_code, "'nothing'" in result.stderr) == (ExitCode.USAGE, True)


def test_a_list_has_a_line_for_each(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    paused(backfill, backfills, home)

    shown = backfill("list").stdout

    assert "archive" in shown
    assert "paused" in shown
    assert [json.loads(line)["lines"] for line in backfill("list", "--json").stdout.splitlines()] == [3]


def test_only_lines_that_are_wanted_are_counted(backfill: Run, backfills: RedisBackfills, home: Path) -> None:
    file = write(home / "archive.jsonl", *(good(number) for number in range(4)))
    earlier = write(home / "earlier.jsonl", *(result_of(number) for number in (0, 2)))

    backfill("run", file, "--project", "acme", "--budget", "0.000000001", "--results", earlier)

    [snapshot] = backfills.all()
    assert snapshot.definition.lines == 2
    assert backfills.open("archive").wanted() == bytes([0b00101000])


def result_of(number: int) -> dict[str, Any]:
    episode = {"episode_id": f"e{number}", "entities": [], "facts": []}
    provenance = {"prompt_version": "1", "schema_version": "1", "provider": "openai", "model": "m"}
    return {
        "job_id": f"j{number}",
        "project": "acme",
        "status": "succeeded",
        "episodes": [episode],
        "provenance": [{**provenance, "connection": "primary", "role": "primary"}],
    }


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("archive.jsonl", "archive"),
        ("/data/Q1 2026 (all).jsonl.gz", "Q1-2026-all"),
        ("rows.parquet", "rows"),
        ("…", "backfill"),
    ],
)
def test_a_name_is_made_of_the_files(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
