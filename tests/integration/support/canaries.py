"""Secrets planted in a pool: a project per kind of provider and per fault, each with a secret of its own."""

import json
import subprocess
import sys
import urllib.request
from base64 import b64encode
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import account_path, project_path, save_connection, save_project
from config.credentials import save_credential
from config.producers import EVERY, list_producers, read_keys, save_producer
from config.store import FileStore
from config.webhooks import read_webhook, save_webhook, signing_secrets
from tasks.contract import ProviderKind
from tests.integration.support.pool import ROOT, Pool
from workers.embedded.simulator import FaultRule, Injection, fingerprint
from workers.embedded.simulator.exchange import Reason
from workers.embedded.simulator.wire.aws_signature import simulated_credential, simulated_secret
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.valkey import _free_port

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


class Stranger(BaseHTTPRequestHandler):
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
