"""The IAM policies in docs/deployment/iam: actions that AWS has, those that the code calls, and nothing beside them."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest
from pydantic import SecretStr

from config.connections import save_connection, save_project
from config.connections.paths import account_path, project_path
from config.credentials import save_credential
from config.producers import save_producer
from config.settings import Settings
from config.store import MemoryStore, Parameter
from config.webhooks import CALLBACK, save_webhook
from tasks.contract import parse_job
from tests.aws import POLICIES, allows, documented_actions, parameter_arn
from tests.support import START, ManualClock
from tests.unit.deployment.compose_file import ROOT
from workers.enqueue.producer import _Chains
from workers.notify.callbacks import CallbackCheck

FILES = sorted((ROOT / "docs" / "deployment" / "iam").glob("*.json"))
IAM: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
EVERY_POLICY = pytest.mark.parametrize("name", IAM)

#: Services whose operations are not all in one model: what IAM calls them → the models of botocore.
MODELS = {"bedrock": ("bedrock", "bedrock-runtime")}
ARN = re.compile(r"\*|arn:aws:[a-z0-9-]+:[a-z0-9*-]*:(\d{12})?:[A-Za-z0-9_/.*:-]+")


@cache
def operations(service: str) -> frozenset[str]:
    """The operations of a service, as botocore knows them."""
    loader = botocore.session.get_session().get_component("data_loader")
    models = MODELS.get(service, (service,))
    return frozenset(name for one in models for name in loader.load_service_model(one, "service-2")["operations"])


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions(name: str) -> set[str]:
    return {action for statement in IAM[name]["Statement"] for action in listed(statement["Action"])}


def test_every_process_has_a_policy() -> None:
    assert IAM.keys() == {"admin", "bedrock-role", "bedrock-role-trust", "producer", "worker"}


@EVERY_POLICY
def test_a_policy_has_the_shape_that_aws_asks_for(name: str) -> None:
    policy = IAM[name]
    statements = policy["Statement"]

    assert policy.keys() == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    assert all(re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"]) for statement in statements)
    assert len({statement["Sid"] for statement in statements}) == len(statements)
    # A trust policy says who, all others say what.
    whom = "Principal" if name.endswith("-trust") else "Resource"
    for statement in statements:
        assert statement.keys() - {"Condition"} == {"Sid", "Effect", "Action", whom}
        assert statement["Effect"] == "Allow"
        arns = statement[whom]["AWS"] if whom == "Principal" else statement[whom]
        assert [arn for arn in listed(arns) if not ARN.fullmatch(arn)] == []


@EVERY_POLICY
def test_every_action_is_one_that_aws_has_and_none_is_a_pattern(name: str) -> None:
    for action in actions(name):
        service, _, operation = action.partition(":")
        assert operation in operations(service), action


def test_only_what_cannot_be_bound_to_a_path_is_allowed_everywhere() -> None:
    everywhere = {
        action
        for policy in IAM.values()
        for statement in policy["Statement"]
        if "*" in listed(statement.get("Resource", ""))
        for action in listed(statement["Action"])
    }

    assert everywhere == {"ssm:DescribeParameters"}


def test_the_policies_allow_what_the_page_on_stores_does_and_its_tests_prove() -> None:
    for name, parts in {"worker": ("worker", "worker-kms"), "admin": ("admin", "admin-kms")}.items():
        told = [statement for part in parts for statement in POLICIES[part]["Statement"]]
        assert [statement for statement in told if statement not in IAM[name]["Statement"]] == []
        assert actions(name) == documented_actions(*parts) | {"sts:AssumeRole"}


def test_a_worker_changes_nothing_and_a_customers_role_calls_models_alone() -> None:
    assert not {action for action in actions("worker") if re.search(r"Put|Delete|Create|Encrypt", action)}
    assert actions("bedrock-role") == {"bedrock:InvokeModel"}
    [trust] = IAM["bedrock-role-trust"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "acme-7f3a"}}
    assert "acme-7f3a" in (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


class Watched(MemoryStore):
    """A store that notes what SSM would be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, str]] = set()

    def get(self, path: str) -> Parameter | None:
        self.asked.add(("ssm:GetParameter", parameter_arn(path)))
        return super().get(path)

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        self.asked.add(("ssm:GetParametersByPath", parameter_arn(prefix)))
        return super().list(prefix, secure=secure)


@pytest.fixture
def store() -> Watched:
    made = Watched()
    scope = project_path("acme")
    save_project(made, "acme", account="acme-inc")
    save_credential(made, scope, "main", SecretStr("sk-secret"))
    save_connection(made, scope, {"name": "a", "provider": "openai", "model": "gpt-6-luna", "credential": "main"})
    save_webhook(made, account_path("acme-inc"), CALLBACK, url=None, kinds=(), now=START)
    save_producer(made, "crm", projects=["acme"], now=START)
    made.asked.clear()
    return made


def test_a_producer_may_read_what_it_needs_to_accept_a_job(store: Watched) -> None:
    clock = ManualClock()
    job = parse_job(
        {
            "project": "acme",
            "episodes": [{"id": "e1", "content": "Ana moved."}],
            "callback_url": "https://pipeline.example.com/memories",
        }
    )

    assert _Chains(store, clock).of("acme")
    check = CallbackCheck(store, clock=clock, ttl=30, allow_private=Settings().allow_private_endpoints)
    assert check.problem(job) is None

    assert len(store.asked) > 2
    assert [one for one in store.asked if not allows(IAM["producer"], *one)] == []


def test_a_producer_may_read_no_secret_of_any_kind(store: Watched) -> None:
    secrets = [facts.path for facts in store.secrets("/byom")]

    assert {path.split("/")[2] for path in secrets} == {"accounts", "producers", "projects"}
    for path in secrets:
        above = ["/".join(path.split("/")[:length]) for length in range(2, len(path.split("/")))]
        assert not allows(IAM["producer"], "ssm:GetParameter", parameter_arn(path))
        # Whoever may list a path may read all that is below it.
        assert [up for up in above if allows(IAM["producer"], "ssm:GetParametersByPath", parameter_arn(up))] == []
