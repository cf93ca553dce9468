"""A stand-in for AWS: moto as a server of its own, which the real boto3 talks to over HTTP."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

REGION = "us-east-1"
#: The account that everything belongs to in moto.
ACCOUNT = "123456789012"
#: The kinds of key that AWS would find on a machine are all set or switched off, so that none of its own is used.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


#: The policies that the documentation asks for, by the name that stands before each.
POLICIES: dict[str, dict[str, Any]] = {
    name: json.loads(text)
    for name, text in re.findall(
        r"<!-- policy: ([a-z-]+) -->\n```json\n(.*?)```",
        (Path(__file__).parents[1] / "docs" / "store.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
}
#: What AWS lets everybody do.
FREE = frozenset({"sts:GetCallerIdentity"})


class MotoServer:
    """A server that speaks for SSM, KMS and STS. Start it once; its state is shared by all who use it."""

    def __enter__(self) -> Self:
        # A process of its own: moto changes botocore where it is imported.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                self.url = found.group(1)
                # It logs every request; a pipe that nobody empties would stop it.
                self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
                self._reader.start()
                return self
        raise AssertionError("moto ended before it listened")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    @contextmanager
    def as_environment(self) -> Iterator[pytest.MonkeyPatch]:
        """Have boto3 talk to this server, with credentials that stand for some and a region."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}.items():
                patch.setenv(name, value)
            yield patch


@dataclass
class Calls:
    """The calls that clients make, as IAM names them; and what AWS answers in moto's place."""

    made: list[str] = field(default_factory=list)
    #: Action → error code and message of AWS, for every call.
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Runs before each call, with the action and the request.
    before: Callable[[str, Mapping[str, Any]], None] = lambda _action, _request: None

    @property
    def actions(self) -> set[str]:
        return set(self.made)

    @contextmanager
    def watching(self, *clients: Any) -> Iterator[Self]:
        """See, and answer, the calls of these clients."""
        hooks = {"before-call": self._on_call, "before-send": self._on_send}
        hooked = [
            (client.meta.events, f"{event}.{client.meta.service_model.service_name}", hook)
            for client in clients
            for event, hook in hooks.items()
        ]
        for events, name, hook in hooked:
            events.register(name, hook)
        try:
            yield self
        finally:
            for events, name, hook in hooked:
                events.unregister(name, hook)

    def _on_call(self, model: Any, params: Mapping[str, Any], **_: Any) -> None:
        action = f"{model.service_model.endpoint_prefix}:{model.name}"
        self.made.append(action)
        body = params["body"]
        self.before(action, json.loads(body) if isinstance(body, str | bytes) else body)

    def _on_send(self, request: Any, **_: Any) -> AWSResponse | None:
        target = request.headers.get("X-Amz-Target", b"").decode()
        service, _, name = target.replace("AmazonSSM", "ssm").replace("TrentService", "kms").partition(".")
        refusal = self.refused.get(f"{service}:{name}")
        if refusal is None:
            return None
        code, message = refusal
        status = 500 if code == "InternalServerError" else 400
        body = json.dumps({"__type": code, "message": message}).encode()
        headers = HTTPHeaders.from_dict({"Content-Type": "application/x-amz-json-1.1"})
        return AWSResponse(request.url, status, headers, _Raw(body))


class Unhurried:
    """Stands for the module `time` in libraries that pause before they try again: counts the pauses and takes none."""

    def __init__(self) -> None:
        self.pauses = 0
        #: After how many pauses something happens, and what.
        self.after: tuple[int, Callable[[], None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, _seconds: float) -> None:
        self.pauses += 1
        if self.after is not None and self.after[0] == self.pauses:
            self.after[1]()


class _Raw:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def denial(action: str, resource: str, *, why: str = "no identity-based policy allows the {} action") -> ClientError:
    """What AWS says to who may not."""
    message = (
        f"User: arn:aws:iam::{ACCOUNT}:user/worker is not authorized to perform: {action} on resource: {resource} "
        f"because {why.format(action)}"
    )
    return ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[typeddict-item]
        action.partition(":")[2],
    )


def allows(policy: Mapping[str, Any], action: str, resource: str) -> bool:
    """Whether an IAM policy lets its owner do something; conditions are taken as met."""
    statements = [one for one in policy["Statement"] if one["Effect"] == "Allow"]
    return any(
        any(fnmatchcase(action, pattern) for pattern in _list(one["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in _list(one["Resource"]))
        for one in statements
    )


def parameter_arn(name: str) -> str:
    """As IAM names a parameter; its version is no part of it."""
    return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{name.partition(':')[0]}"


def documented_actions(*policies: str) -> set[str]:
    """The actions that policies of the documentation allow; without names, all of them."""
    return {
        action
        for name in policies or POLICIES
        for statement in POLICIES[name]["Statement"]
        for action in _list(statement["Action"])
    }


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
