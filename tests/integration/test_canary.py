"""No secret of any kind of credential shows anywhere, whatever goes wrong: one pool, all kinds at once.

The secrets look like no vendor's keys, so that the mask of the logs does not know them: what is proved is that nobody
writes them, not that somebody blots them out.
"""

import json
import os
import signal
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from config.settings import load_settings
from tasks.contract import ContractError, FailureCode, ProviderKind
from tests.integration.support.canaries import (
    FAULTS,
    REFUSED,
    ROTATED,
    Flower,
    Stranger,
    configure,
    project_of,
    the_secrets,
)
from tests.integration.support.pool import Pool, holds, job, running_pool, wait_until
from tests.posted import listening
from workers.cli.root import app
from workers.embedded.simulator import FaultRule, Injection, Latency, fingerprint
from workers.engine.outcome import TABLE
from workers.enqueue.producer import JobHandle, Producer

pytestmark = pytest.mark.integration

#: Pages of Flower that are not Flower's own.
OUR_PAGES = ("/usage", "/usage.csv", "/providers", "/lanes")
#: Calls that a worker has in hand at most.
CONCURRENCY = 8
#: Commands that show something: words → what their output certainly has, so that looking through it means something.
COMMANDS: dict[str, str] = {
    "connection show --project openai-fine": "openai-fine",
    "connection list --project openai-fine": "openai-fine",
    "connection list --account canaries": "backup",
    "credential list --project openai-fine": "main",
    "credential list --project vertex-fine": "main",
    "audit": "openai-fine",
    "config export --project openai-fine": "openai-fine",
    "limits show --project openai-fine": "openai-fine",
    "lanes list": "crowded",
    "usage --by project,provider,credential_version": "openai-fine",
    "usage export --format jsonl": "openai-fine",
    "usage export --format csv": "openai-fine",
    "events": "openai-http-401",
    "webhook list": "ops",
    "dead list": "crash",
    "dead list --by project": "crash",
    "dead export --payload": "crash",
    "dead replay --all --dry-run": "internal",
    "doctor": "openai-fine",
    "store info": "store.json",
    "producer list": "stranger",
    "account show --account canaries": "canaries",
    **{f"verify --project {kind.value.replace('_', '-')}-fine": kind.value for kind in ProviderKind},
    "verify --project bedrock-role": "credential",
    "verify --project openai-http-401": "credential",
    "credential verify --project openai-http-401 --name main": "main",
    "models check --project openai-fine": "openai",
}
#: Of these, the ones that have no `--json`.
ONLY_TEXT = frozenset(
    {"config export --project openai-fine", "usage export --format jsonl", "usage export --format csv"}
)


@pytest.fixture(scope="module")
def stranger() -> Iterator[Any]:
    with listening(Stranger) as server:
        yield server


def of_process(pid: int) -> bytes:
    """Command line and environment of a process, as others on the machine may read them."""
    folder = Path(f"/proc/{pid}")
    return (folder / "cmdline").read_bytes() + b"\n" + (folder / "environ").read_bytes()


def outcomes(handles: list[JobHandle]) -> list[str]:
    """What callers get of each job: its result, or the whole of its error."""
    found = []
    for handle in handles:
        try:
            found.append(handle.result(timeout=60).model_dump_json())
        except ContractError as error:
            found.append(json.dumps([repr(error), str(error), error.details, repr(error.__cause__)]))
    return found


@contextmanager
def commands_on(pool: Pool) -> Iterator[Callable[..., Result]]:
    """Runs commands in this process, which is much faster than a process for each."""
    before = dict(os.environ)
    command = typer.main.get_command(app)

    def run(*arguments: str) -> Result:
        load_settings.cache_clear()
        return CliRunner().invoke(app, list(arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", lambda _: command)
        os.environ.update(pool.environment)
        try:
            yield run
        finally:
            os.environ.clear()
            os.environ.update(before)
            load_settings.cache_clear()


def printed(result: Result) -> str:
    """All that a command said."""
    return f"{result.output}\n{result.exception!r}\n"


def command_outputs(byom: Callable[..., Result]) -> dict[str, str]:
    """What commands print, by their words."""
    return {
        " ".join(["byom", words, *flags]): printed(byom(*words.split(), *flags))
        for words in COMMANDS
        for flags in ([], *([] if words in ONLY_TEXT else [["--json"]]))
    }


def rotate(pool: Pool, byom: Callable[..., Result]) -> str:
    """Rotate a key, first by a real process; then add one that the provider refuses. What was printed."""
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=401, key=fingerprint(REFUSED)))
    which = ("--project", "openai-fine", "--name", "main")
    add = ("credential", "add", *which, "--key-env", "NEXT_KEY")
    first = pool.byom(*add, "--activate", NEXT_KEY=ROTATED)
    os.environ["NEXT_KEY"] = REFUSED
    second = byom(*add, "--json")
    third = byom("credential", "delete", *which, "--version", "1", "--yes")
    del os.environ["NEXT_KEY"]
    assert [first.returncode, second.exit_code, third.exit_code] == [0, 1, 0]
    return first.stdout + first.stderr + printed(second) + printed(third)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, stranger: Any) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("canary")
    with running_pool(folder) as pool:
        pool.max_wait = 60
        pool.extra |= {
            "AWS_ENDPOINT_URL_STS": stranger.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "test",
            "BYOM_ALLOW_PRIVATE_ENDPOINTS": "true",
            "BYOM_SIGNED_JOBS": "required",
            "BYOM_AUDIT_LOG": str(folder / "audit.jsonl"),
            "BYOM_CALL_TIMEOUT": "3",
            "BYOM_CONFIG_CACHE_TTL": "30",
            "BYOM_FALLBACK_PATIENCE": "1",
            "BYOM_GOOGLE_TOKEN_URL": pool.simulator.base_urls["google_oauth"],
        }
        pool.store_path = folder / "canaries" / "store.json"
        pool.store_path.parent.mkdir(mode=0o700)
        configure(pool, hook=f"{stranger.url}/hook")
        yield pool


@pytest.fixture(scope="module")
def evidence(pool: Pool, stranger: Any) -> Mapping[str, bytes]:
    """Everything goes wrong once; then place → all that was there to be read."""
    workers = [pool.launch_worker("--include", "tests.integration.support.crashing") for _ in range(2)]
    flower = Flower(pool)
    for worker in workers:
        pool.ready(worker)
    try:
        with Producer.from_settings(pool.settings.model_copy(update={"signed_jobs": "required"})) as producer:
            pool.simulator.set_latency(Latency.fixed(1))
            handles = [producer.enqueue(job(project=project_of(kind, "fine"))) for kind in ProviderKind for _ in "123"]
            # More than one worker takes at once, so that the one to be killed has some.
            wait_until(lambda: pool.simulator.books().requests > CONCURRENCY)
            in_flight = pool.everything_in_valkey()
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait(timeout=10)
            pool.simulator.set_latency(Latency())
            projects = [project_of(kind, case) for kind in ProviderKind for case in FAULTS]
            projects += ["alone", "bedrock-role", "crash", "unreachable"]
            handles += [producer.enqueue(job(project=project)) for project in projects]
            for _ in range(5):
                producer.enqueue(job(project="crowded"))
            processes = b"\n".join(of_process(one.pid) for one in (workers[1], flower.process))
            wait_until(lambda: holds(pool.everything_in_valkey(), "byom:dead:project:crash"))
            with commands_on(pool) as byom:
                rotation = rotate(pool, byom)
                rotated = [producer.enqueue(job(project="openai-fine")) for _ in range(3)]
                handles += rotated
                # Commands tell of what has ended; all that came before may have been in the killed worker's hands.
                outcomes(rotated)
                commands = command_outputs(byom)
            ended = outcomes(handles)
        wait_until(lambda: holds(b"".join(stranger.got), "job.failed"))
        wait_until(lambda: "w1@test" in flower.get("/api/workers?refresh=1"), every=0.5)
        shown = [handle.id for handle in handles]
        pages = [flower.get(path) for path in ("/", "/workers", "/tasks", "/broker", "/worker/w1@test")]
        our_pages = [flower.get(path) for path in OUR_PAGES]
        pages += [flower.get(f"/task/{one}") for one in shown]
        api = [flower.get(path) for path in ("/api/tasks", "/api/workers", "/api/queues/length")]
        api += [flower.get(f"/api/task/info/{one}") for one in shown]
        metrics = flower.get("/metrics")
    finally:
        flower.stop()
    found = {
        "what callers get": "\n".join(ended),
        "pages of Flower": "\n".join(pages),
        "our pages of Flower": "\n".join(our_pages),
        "API of Flower": "\n".join(api),
        "metrics of Flower": metrics,
        "output of a rotation": rotation,
        **commands,
    }
    everything = pool.everything_in_valkey()
    return {
        "broker and results": in_flight + everything,
        "command lines and environments": processes,
        "posts to a webhook": b"\n".join(stranger.got),
        "logs of workers": pool.worker_logs().encode(),
        "log of Flower": flower.log.read_bytes(),
        "audit log": (pool.logs / "audit.jsonl").read_bytes(),
        "store": pool.store_path.read_bytes(),
        **{place: text.encode() for place, text in found.items()},
    }


#: What is certainly to be found in each place.
CONTROLS: dict[str, tuple[str, ...]] = {
    "logs of workers": ("openai-fine", "crash", "ZeroDivisionError", "credential_rejected", "[debug"),
    "log of Flower": ("[debug",),
    "broker and results": ("openai-fine", "crash", "credential_rejected"),
    "what callers get": ("openai-fine", "ZeroDivisionError", "model_not_found"),
    "pages of Flower": ("openai-fine", "w1@test"),
    "our pages of Flower": ("openai-fine", "crowded", "bedrock-role"),
    "API of Flower": ("openai-fine", "w1@test"),
    "metrics of Flower": ("flower_events_total", "extract.openai"),
    "posts to a webhook": ("byom.credential_refused", "openai-http-401", "job.completed", "v1,"),
    "audit log": ("openai-fine", "credential.activate"),
    "store": ("openai-fine", "ciphertext"),
    "command lines and environments": ("workers.app", "BYOM_BROKER_URL"),
    "output of a rotation": ("openai-fine", "bad_key"),
    **{f"byom {command}": (word,) for command, word in COMMANDS.items()},
    **{f"byom {command} --json": (word,) for command, word in COMMANDS.items() if command not in ONLY_TEXT},
}


def test_everything_that_can_go_wrong_did(evidence: Mapping[str, bytes]) -> None:
    text = evidence["what callers get"].decode()

    assert [code for code in {row.code for row in TABLE.values()} if f'"{code.value}"' not in text] == []
    assert f'"{FailureCode.INTERNAL.value}"' in text
    assert '"fallback"' in text


@pytest.mark.parametrize("place", CONTROLS)
def test_no_secret_of_any_kind_is_there(place: str, pool: Pool, evidence: Mapping[str, bytes]) -> None:
    found = evidence[place]

    # Else the place was empty, or looked through in vain.
    assert [word for word in CONTROLS[place] if not holds(found, word)] == []
    assert [secret for secret in the_secrets(pool) if holds(found, secret)] == []


@pytest.mark.parametrize("planted", ["{}", "x{}", "xy{}x"])
def test_the_search_finds_a_secret_in_whatever_spelling(planted: str, pool: Pool) -> None:
    for secret in the_secrets(pool):
        text = planted.format(secret)
        body = json.dumps({"body": b64encode(text.encode()).decode()}).encode()
        assert (holds(text.encode(), secret), holds(body, secret)) == (True, True)
        assert not holds(body, secret + "!")
