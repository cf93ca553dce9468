"""The commands and snippets of the documentation, page by page as a reader would, on one pool with simulated vendors.

`tests/shown.py` says which are run elsewhere, and which are only read.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from config.settings import load_settings
from tests.integration.support.pool import ROOT, Pool, running_pool, wait_until
from tests.pages import PAGES, Command, blocks, commands, text_of
from tests.shown import PYTHON_ELSEWHERE, reason_not_to_run
from workers.cli.root import app
from workers.embedded.simulator import FaultRule, Injection

pytestmark = pytest.mark.integration

RUN = {page: [one for one in commands(page) if reason_not_to_run(one) is None] for page in PAGES}
PYTHON = {page: [block.text for block in blocks(page) if block.language == "python"] for page in PAGES}
#: Keys that a reader has in the environment.
KEYS = {"OPENAI_API_KEY": "sk-docs", "NEW_KEY": "sk-docs-rotated"}
EXAMPLES = ROOT / "examples" / "conversations.jsonl"
COMMAND = typer.main.get_command(app)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool")) as pool:
        pool.start_worker()
        yield pool


class Reader:
    """Runs commands one after the other in a directory of its own."""

    def __init__(self, pool: Pool, home: Path) -> None:
        self.pool = pool
        self.home = home

    def run(self, command: Command) -> Result:
        """One command line as it stands, but for the vendor, which is simulated; questions are answered with yes."""
        if command.program == "export":
            name, _, value = command.words[1].partition("=")
            os.environ[name] = value
            return Result(CliRunner(), b"", b"", b"", None, 0, None)
        os.environ.update(dict(command.variables))
        result = self.byom(*command.words[1:], *self._simulated(command))
        if command.into:
            (self.home / command.into).write_text(result.stdout, encoding="utf-8")
        return result

    def byom(self, *words: str) -> Result:
        """One command."""
        load_settings.cache_clear()
        return CliRunner().invoke(app, list(words), input="y\n", catch_exceptions=False)

    def _simulated(self, command: Command) -> tuple[str, ...]:
        if command.words[1:3] != ("connection", "add"):
            return ()
        return "--base-url", self.pool.simulator.base_urls["openai"]


@pytest.fixture
def reader(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader with a fresh project `acme`, the examples, and nothing of what other pages left at the vendor."""
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    os.environ.update({name: value for name, value in pool.environment.items() if name.startswith("BYOM_")} | KEYS)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    pool.simulator.clear_faults()
    pool.forget_meters()
    reader = Reader(pool, tmp_path)
    assert reader.byom("project", "remove", "--project", "acme", "--yes").exit_code in {0, 2}
    assert reader.byom("dead", "discard", "--project", "acme", "--yes").exit_code == 0
    pool.add_project("acme", backup=True)
    # A page pauses the project, and what waits outlives it.
    assert reader.byom("lanes", "resume", "--project", "acme").exit_code == 0
    assert reader.byom("lanes", "wake").exit_code == 0
    yield reader
    os.environ.clear()
    os.environ.update(before)
    load_settings.cache_clear()


def an_archive(reader: Reader) -> None:
    """The files of pages on backfills, plain and compressed."""
    for name in ("archive.jsonl", "episodes.jsonl"):
        shutil.copy(EXAMPLES, reader.home / name)
        (reader.home / f"{name}.gz").write_bytes(gzip.compress(EXAMPLES.read_bytes()))


def earlier_results(reader: Reader) -> None:
    """And what an earlier run wrote."""
    an_archive(reader)
    ran = reader.byom("backfill", "run", "episodes.jsonl", "-p", "acme", "--name", "earlier", "--out", "memories.jsonl")
    assert ran.exit_code == 0, ran.output


def a_rotated_key(reader: Reader) -> None:
    """A connection with a credential of its name."""
    added = reader.byom(
        *("connection", "add", "-p", "acme", "--provider", "openai", "--model", "gpt-6-luna"),
        *("--key-env", "OPENAI_API_KEY", "--base-url", reader.pool.simulator.base_urls["openai"]),
    )
    assert added.exit_code == 0, added.output


def failed_jobs(reader: Reader) -> None:
    """Two jobs that failed with the third version of the credential; there is no fallback.

    They fail by the episode's fault, so that neither breaker nor credential keeps back what comes after.
    """
    assert reader.byom("connection", "remove", "-p", "acme", "--name", "backup", "--yes").exit_code == 0
    for _ in range(2):
        added = reader.byom("credential", "add", "-p", "acme", "--name", "main", "--key-env", "NEW_KEY", "--activate")
        assert added.exit_code == 0, added.output
    (reader.home / "two.jsonl").write_text("".join(EXAMPLES.read_text(encoding="utf-8").splitlines(keepends=True)[:2]))
    reader.pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=400))
    failed = reader.byom("enqueue", "two.jsonl", "-p", "acme", "--wait")
    assert failed.exit_code == 1, failed.output
    reader.pool.simulator.clear_faults()
    reader.pool.forget_meters()


def used(reader: Reader) -> None:
    """Some usage, and reports of vendors."""
    enqueued = reader.byom("enqueue", "examples/conversations.jsonl", "-p", "acme", "--wait")
    assert enqueued.exit_code == 0, enqueued.output
    reports(reader)


def reports(reader: Reader) -> None:
    """Reports of vendors about days on which nobody called."""
    bucket = {"object": "bucket", "start_time": 1_577_836_800, "end_time": 1_577_923_200, "results": []}
    page = {"object": "page", "data": [bucket], "has_more": False, "next_page": None}
    (reader.home / "november.json").write_text(json.dumps(page))
    (reader.home / "cur.csv").write_text("day,model_id,input_tokens,output_tokens,usd\n2020-01-01,any,0,0,0\n")


def nothing_more(_: Reader) -> None:
    """The project and the examples are enough."""


#: What a page takes for granted, beyond a project `acme` and the examples.
GIVEN: Mapping[str, Callable[[Reader], None]] = {
    "docs/backfills.md": an_archive,
    "docs/credentials.md": a_rotated_key,
    "docs/dead-letters.md": failed_jobs,
    "docs/economy.md": an_archive,
    "docs/planning-backfills.md": earlier_results,
    "docs/usage.md": used,
}


def a_replay(shown: list[Result], reader: Reader) -> None:
    """Both jobs were listed, counted, and run again."""
    by_cause, listed, would_be, replayed, _ = [result.output for result in shown]
    assert "bad_request" in by_cause
    assert listed.count("bad_request") == 2
    assert "2" in would_be
    assert "2" in replayed
    wait_until(lambda: "bad_request" not in reader.byom("dead", "list", "--json").stdout)


#: What is to be seen afterwards, where the end with 0 says too little.
THEN: Mapping[str, Callable[[list[Result], Reader], None]] = {"docs/dead-letters.md": a_replay}


@pytest.mark.parametrize("page", [page for page, lines in RUN.items() if lines and page != "docs/backfills.md"])
def test_the_commands_of_a_page_do_what_it_says(page: str, reader: Reader) -> None:
    GIVEN.get(page, nothing_more)(reader)
    shown = []

    for command in RUN[page]:
        result = reader.run(command)
        assert result.exit_code == 0, f"{command.line}\n{result.output}"
        shown.append(result)

    if page in THEN:
        THEN[page](shown, reader)


def test_a_backfill_is_planned_run_paused_and_resumed_as_shown(reader: Reader) -> None:
    an_archive(reader)
    plan, run, *beside, resume, report = RUN["docs/backfills.md"]
    # Nothing of it is done before it is paused, however fast this machine is.
    assert reader.byom("lanes", "pause", "--project", "acme").exit_code == 0

    assert reader.run(plan).exit_code == 0
    driver = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", *run.words[1:]], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        wait_until(lambda: reader.byom("backfill", "status", "archive").exit_code == 0, seconds=90, every=0.2)
        for command in beside:
            assert reader.run(command).exit_code == 0, command.line
        assert driver.wait(timeout=60) == 1
    finally:
        driver.kill()
        driver.wait()
    assert reader.byom("lanes", "resume", "--project", "acme").exit_code == 0

    for command in (resume, report):
        result = reader.run(command)
        assert result.exit_code == 0, f"{command.line}\n{result.output}"
    written = (reader.home / "memories.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(written) == len(EXAMPLES.read_text(encoding="utf-8").splitlines())


def keys_shown(command: str) -> set[str]:
    """Names of the JSON document that the page on commands shows for one of them, without those of what is in it."""
    page = text_of("docs/cli.md")
    found = re.search(rf"^\| `{command}`[^|]*\| (?:[^|`]*)`(\{{.*?\}})`", page, re.MULTILINE)
    assert found, command
    text, inner = found[1][1:-1], 1
    while inner:
        text, inner = re.subn(r"[\[{][^\[\]{}]*[\]}]", "", text)
    return set(re.findall(r'"(\w+)"', text))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("byom usage sync", ()),
        ("byom usage reconcile", ("november.json", "--provider", "openai")),
        ("byom connection set", ("-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")),
        ("byom account show", ("--account", "acme-inc")),
        ("byom store info", ()),
        ("byom store copy", ("--from", "file:other.json", "--to", "file:third.json")),
        ("byom store reencrypt", ("--account", "acme-inc")),
        ("byom config diff", ("byom.yaml",)),
    ],
)
def test_the_json_that_is_shown_for_a_command_is_what_it_prints(
    command: str, options: tuple[str, ...], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_LEDGER_URL", f"sqlite:///{reader.home}/usage.db")
    reports(reader)
    assert reader.byom("config", "export", "--output", "byom.yaml").exit_code == 0

    result = reader.byom(*command.split()[1:], *options, "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout).keys() == keys_shown(command)


def test_the_json_that_is_shown_for_dead_letters_and_verifications_is_what_they_print(reader: Reader) -> None:
    failed_jobs(reader)
    page = " ".join(text_of("docs/cli.md").split())
    shown = {
        begin: set(re.findall(r'"(\w+)"', re.sub(r"\[\{.*?\}\]", "", page.partition(begin)[2].partition("}`")[0])))
        for begin in ('`{"job_id", "project"', '`{"ok", "problem"')
    }

    letter, *_ = reader.byom("dead", "list", "--json").stdout.splitlines()
    report, *_ = json.loads(reader.byom("verify", "--project", "acme", "--json").stdout)

    (of_letters, of_reports) = shown.values()
    assert json.loads(letter).keys() == of_letters | {"job_id", "project"}
    assert report.keys() == of_reports | {"ok", "problem"}


#: Names that the snippets of a page take for granted.
NAMES: Mapping[str, str] = {
    "README.md": "jobs = [{'project': 'acme', 'episodes': [{'id': 'e1', 'content': 'Ada moved to Lisbon.'}]}] * 2",
    "docs/economy.md": (
        "from config.settings import load_settings\nfrom workers.enqueue.producer import Producer\n"
        "producer = Producer.from_settings(load_settings())"
    ),
    "docs/lanes.md": "import os, redis\nclient = redis.Redis.from_url(os.environ['BYOM_BROKER_URL'])",
}


@pytest.mark.parametrize("page", [page for page, code in PYTHON.items() if code and page not in PYTHON_ELSEWHERE])
def test_the_snippets_of_a_page_run_as_one_program(page: str, reader: Reader) -> None:
    program = "\n".join([NAMES[page], *PYTHON[page]])

    done = subprocess.run(
        [sys.executable, "-c", program.replace("redis://127.0.0.1:6379/0", reader.pool.valkey.url)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
