"""No secret of any kind of credential shows anywhere, whatever goes wrong: one pool, all kinds at once.

The secrets look like no vendor's keys, so that the mask of the logs does not know them: what is proved is that nobody
writes them, not that somebody blots them out.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from config.catalogue import load_catalogue
from config.connections import account_path, project_path, save_connection, save_project
from config.credentials import save_credential
from config.producers import EVERY, list_producers, read_keys, save_producer
from config.settings import load_settings
from config.store import FileStore
from config.webhooks import read_webhook, save_webhook, signing_secrets
from tasks.contract import ContractError, FailureCode, ProviderKind
from tests.integration.support.pool import ROOT, Pool, holds, job, running_pool, wait_until
from workers.cli.root import app
from workers.embedded.simulator import FaultRule, Injection, Latency, fingerprint
from workers.embedded.simulator.exchange import Reason
from workers.embedded.simulator.wire.aws_signature import simulated_credential, simulated_secret
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.valkey import _free_port
from workers.outcome import TABLE
from workers.producer import JobHandle, Producer

pytestmark = pytest.mark.integration

#: Every secret of a kind that is one word begins so.
MARKS = {
    ProviderKind.OPENAI: "canary-openai-93a1f06b",
    ProviderKind.AZURE_OPENAI: "canary-azure-57d2c81e",
    ProviderKind.GEMINI: "canary-gemini-e04b7719",
    ProviderKind.ANTHROPIC: "canary-anthropic-1c6689fd",
    ProviderKind.OPENAI_COMPATIBLE: "canary-compatible-b8203ea5",
    ProviderKind.BEDROCK: "CANARYBEDROCK42F9",
}
SERVICE_ACCOUNT = "canary@extraction.iam.gserviceaccount.com"
#: What AWS's token service grants for the role.
ROLE = "arn:aws:iam::123456789012:role/canary-role-6630"
SESSION = {
    "AccessKeyId": "CANARYSESSION0F17",
    "SecretAccessKey": "canary-session-secret-8be2",
    "SessionToken": "canary-session-token-40cd",
}
ROTATED = "canary-rotated-7fa3390c"
REFUSED = "canary-refused-2d5518e9"
#: Pages of Flower that are not Flower's own.
OUR_PAGES = ("/usage", "/usage.csv", "/providers", "/lanes")

#: Calls that a worker has in hand at most.
CONCURRENCY = 8
MOUNTS = {ProviderKind.OPENAI_COMPATIBLE: "compatible", ProviderKind.AZURE_OPENAI: "azure"}

#: What goes wrong at a provider, all that the simulator can do. A project of each kind meets each of them.
FAULTS: dict[str, dict[str, Any]] = {
    **{f"http-{status}": {"status": status} for status in (400, 401, 403, 404, 429, 500, 503)},
    "expired": {"reason": Reason.EXPIRED_KEY},
    "quota": {"reason": Reason.QUOTA_EXHAUSTED},
    "context": {"reason": Reason.CONTEXT_TOO_LONG},
    **{
        kind.value.replace("_", "-"): {"kind": kind}
        for kind in Injection
        if kind not in {Injection.STATUS, Injection.SLOW}
    },
}

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


class _Stranger(BaseHTTPRequestHandler):
    """AWS STS, as far as it lends a role; on any other path a receiver of webhooks, which keeps what it gets."""

    server: Any

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hook":
            self.server.got.append(str(self.headers).encode() + asked)
            self.send_response(204)
            self.end_headers()
            return
        keys = "".join(f"<{name}>{value}</{name}>" for name, value in SESSION.items())
        body = (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"{keys}<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


@pytest.fixture(scope="module")
def stranger() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Stranger)
    server.got = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class AtOnce(FileStore):
    """Writes its file once, at the end: each of hundreds of writes would wait for the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._entries: dict[str, Any] = {}

    def _read(self) -> dict[str, Any]:
        return self._entries

    def _write(self, entries: dict[str, Any]) -> None:
        self._entries = entries

    def flush(self) -> None:
        super()._write(self._entries)


def project_of(kind: ProviderKind, case: str) -> str:
    """The project in which a kind meets a case."""
    return f"{kind.value}-{case}".replace("_", "-")


def secret_of(kind: ProviderKind, case: str) -> str:
    """The credential of a project."""
    match kind:
        case ProviderKind.VERTEX:
            return simulated_key_file(SERVICE_ACCOUNT)
        case ProviderKind.BEDROCK:
            return simulated_credential(_access_key(case))
    return f"{MARKS[kind]}-{case}"


def account_of(kind: ProviderKind, case: str) -> str:
    """What the simulator calls the owner of a project's credential."""
    return fingerprint(_access_key(case) if kind is ProviderKind.BEDROCK else secret_of(kind, case))


def _access_key(case: str) -> str:
    return MARKS[ProviderKind.BEDROCK] + case.replace("-", "").upper()


def the_secrets(pool: Pool) -> list[str]:
    """All that must show nowhere; a part of each that no other text has."""
    private_key = json.loads(simulated_key_file(SERVICE_ACCOUNT))["private_key"].splitlines()[1:-1]
    cases = ["fine", *FAULTS]
    store = FileStore(pool.store_path)
    webhook = read_webhook(store, account_path("canaries"), "ops")
    assert webhook is not None
    return [
        *MARKS.values(),
        *private_key,
        *(simulated_secret(_access_key(case)) for case in cases),
        ROLE.rpartition("/")[2],
        *SESSION.values(),
        "ya29.simulated",
        ROTATED,
        REFUSED,
        # What signs webhooks, and what the store is encrypted with.
        *(one.get_secret_value().partition("_")[2] for one in signing_secrets(store, webhook, now=datetime.now(UTC))),
        *(
            one.get_secret_value().partition("_")[2]
            for producer in list_producers(store)
            for one in read_keys(store, producer, now=datetime.now(UTC))
        ),
        pool.store_path.with_name("store.json.key").read_text(encoding="utf-8").strip(),
    ]


def configure(pool: Pool, *, hook: str) -> None:
    """Account `canaries` with a fallback for all its projects: per kind one that is well, and one for each fault."""
    store, urls = AtOnce(pool.store_path), pool.simulator.base_urls
    models = {facts.provider: facts.id for facts in load_catalogue() if facts.recommended}
    models[ProviderKind.OPENAI_COMPATIBLE] = "local"
    unmetered = {"tpm_capacity": 100_000_000, "tpm_refill_per_second": 1_000_000}

    def connect(scope: str, name: str, kind: ProviderKind, secret: str, **fields: Any) -> None:
        save_credential(store, scope, fields.setdefault("credential", "main"), SecretStr(secret))
        document = {"name": name, "provider": kind.value, "model": models[kind], **unmetered}
        document["base_url"] = urls[MOUNTS.get(kind, kind.value)]
        save_connection(store, scope, document | fields)

    compatible = ProviderKind.OPENAI_COMPATIBLE
    fallback = secret_of(compatible, "backup")
    connect(account_path("canaries"), "backup", compatible, fallback, role="fallback", credential="backup")
    for kind in ProviderKind:
        for case in ("fine", *FAULTS):
            project = project_of(kind, case)
            # Service accounts take too long to make: there the path tells projects apart.
            place = {"gcp_project": project} if kind is ProviderKind.VERTEX else {}
            save_project(store, project, account="canaries")
            connect(project_path(project), "primary", kind, secret_of(kind, case), **place)
            if case in FAULTS:
                which = {"prefix": f"/vertex/v1/projects/{project}/"} if place else {"key": account_of(kind, case)}
                pool.simulator.add_fault(FaultRule(**({"kind": Injection.STATUS} | FAULTS[case] | which)))
    for project in ("bedrock-role", "crash", "unreachable"):
        save_project(store, project, account="canaries")
    connect(project_path("bedrock-role"), "primary", ProviderKind.BEDROCK, ROLE)
    connect(project_path("crash"), "primary", ProviderKind.OPENAI, secret_of(ProviderKind.OPENAI, "crash"))
    nowhere = {"base_url": f"http://127.0.0.1:{_free_port()}/v1"}
    connect(project_path("unreachable"), "primary", compatible, secret_of(compatible, "unreachable"), **nowhere)
    # Without an account, and so without a fallback: these fail, and those wait.
    narrow = {"tpm_capacity": 1_000, "tpm_refill_per_second": 0.01}
    for project, limits in {"alone": {}, "crowded": narrow}.items():
        save_project(store, project)
        secret = secret_of(ProviderKind.OPENAI, project)
        connect(project_path(project), "primary", ProviderKind.OPENAI, secret, **limits)
    alone = fingerprint(secret_of(ProviderKind.OPENAI, "alone"))
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=404, key=alone))
    save_webhook(store, account_path("canaries"), "ops", url=hook, kinds=("*",), now=datetime.now(UTC))
    # With it the pool's own key is made, with which all jobs here are signed.
    save_producer(store, "stranger", projects=[EVERY], now=datetime.now(UTC))
    store.flush()


class Flower:
    """Flower on a pool, as an operator starts it."""

    def __init__(self, pool: Pool) -> None:
        self._port = _free_port()
        self.log = pool.logs / "flower.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "flower", "--port", str(self._port)],
                cwd=ROOT,
                env=pool.environment | {"BYOM_FLOWER_AUTH": "operator:pass"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def get(self, path: str) -> str:
        """A page; nothing while it cannot be had."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}")
        request.add_header("Authorization", "Basic " + b64encode(b"operator:pass").decode())
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
                return str(response.read().decode())
        except OSError:
            return ""

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


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
                handles += [producer.enqueue(job(project="openai-fine")) for _ in range(3)]
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
