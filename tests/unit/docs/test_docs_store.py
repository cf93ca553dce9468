"""The policies in docs/store.md allow what the code calls, all of it, and nothing else."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import (
    AccountProfile,
    effective_chain,
    list_projects,
    project_path,
    save_connection,
    save_project,
    write_account,
)
from config.copying import ROOT, copy
from config.errors import StoreConflict, StoreError
from config.kms import kms_key_for
from config.kms_check import Status, set_kms_key
from config.reencrypt import plan, reencrypt
from config.store import MemoryStore
from config.store.aws import build_client
from config.store.base import MAX_VALUE_BYTES
from config.store.probe import probe
from config.store.ssm import DEFAULT_KEY, SsmStore
from tests.aws import ACCOUNT, FREE, POLICIES, REGION, Calls, allows, denial, documented_actions, parameter_arn

DOCS = (Path(__file__).parents[3] / "docs" / "store.md").read_text(encoding="utf-8")
#: The key that stands in the documentation.
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = SecretStr("sk-1")


class Iam:
    """Refuses what a policy of the documentation does not allow, as AWS would, and remembers what was asked for."""

    def __init__(self, *policies: str) -> None:
        self._policy = {"Statement": [one for name in policies for one in POLICIES[name]["Statement"]]}
        self.asked: set[str] = set()

    def __call__(self, action: str, request: Mapping[str, Any]) -> None:
        for needed, resource in _needs(action, request):
            self.asked.add(needed)
            if not allows(self._policy, needed, resource):
                raise denial(needed, resource)


def _needs(action: str, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The permissions that one call takes; SSM calls KMS in the name of its caller."""
    if action in FREE:
        return
    if action.startswith("kms:"):
        yield action, request["KeyId"]
        return
    if action == "ssm:DescribeParameters":
        yield action, "*"
        return
    name = str(request.get("Name") or request.get("Path"))
    yield action, parameter_arn(name)
    if action == "ssm:PutParameter" and request.get("KeyId", DEFAULT_KEY) != DEFAULT_KEY:
        yield "kms:Encrypt" if request["Tier"] == "Standard" else "kms:GenerateDataKey", request["KeyId"]
    if action == "ssm:GetParameter" and request.get("WithDecryption") and "/accounts/customer/secrets/" in name:
        yield "kms:Decrypt", KEY


@pytest.fixture
def ssm(aws: pytest.MonkeyPatch) -> Iterator[SsmStore]:
    """A store without a prefix, as the documentation has it, emptied afterwards."""
    store = SsmStore()
    yield store
    for parameter in store.list(ROOT):
        store.delete(parameter.path)


def act(store: SsmStore, *roles: str, work: Callable[[], object]) -> Iam:
    """Do something in a role of the documentation."""
    iam = Iam(*roles)
    with Calls(before=iam).watching(store._ssm()):
        work()
    return iam


def fill(store: SsmStore) -> None:
    """A project of an account with a key of its own."""
    write_account(store, "customer", AccountProfile(kms_key=KEY))
    save_project(store, "acme", account="customer")
    document = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
    save_connection(store, project_path("acme"), document)
    store.put("/byom/projects/acme/secrets/main/1", SECRET, secure=True)


def administer(store: SsmStore) -> None:
    """Everything that commands do with a store, but for customers' keys."""
    save_project(store, "acme", account="customer")
    for version in (0, 1):
        store.put("/byom/projects/acme/secrets/main/1", SECRET, secure=True, expected_version=version)
    with pytest.raises(StoreConflict):
        store.put("/byom/projects/acme/secrets/main/1", SECRET, secure=True, expected_version=1)
    store.put("/byom/projects/acme/secrets/main/2", SecretStr("x" * MAX_VALUE_BYTES), secure=True)
    access = probe(store, ROOT)
    assert (access.read, access.write) == ("", "")
    assert [done.message for done in reencrypt(store, plan(store, "customer"))] == [""] * 2
    assert len(list(copy(store, MemoryStore()))) == 3
    store.list(ROOT)


def read(store: SsmStore) -> None:
    """Everything that a worker does with a store."""
    assert list_projects(store) == ["acme"]
    assert [link.connection.name for link in effective_chain(store, "acme")] == ["main"]
    assert store.get("/byom/projects/acme/secrets/main/1") is not None
    assert store.get("/byom/projects/acme/secrets/main/9") is None


def test_every_policy_is_one() -> None:
    assert POLICIES.keys() == {"worker", "worker-kms", "admin", "admin-kms", "customer-key"}
    for policy in POLICIES.values():
        assert policy["Version"] == "2012-10-17"
        assert [statement["Effect"] for statement in policy["Statement"]] == ["Allow"] * len(policy["Statement"])
        assert len({statement["Sid"] for statement in policy["Statement"]}) == len(policy["Statement"])


def test_the_code_block_of_no_policy_is_without_a_name() -> None:
    assert len(re.findall(r"```json", DOCS)) == len(POLICIES)


def test_a_worker_may_do_what_it_does_and_nothing_else(ssm: SsmStore) -> None:
    fill(ssm)

    iam = act(ssm, "worker", work=lambda: read(ssm))

    assert iam.asked == documented_actions("worker")
    with Calls(before=Iam("worker")).watching(ssm._ssm()):
        access = probe(ssm, ROOT)
    assert access.readable
    assert "AWS denies ssm:PutParameter" in access.write


def test_an_administrator_may_do_what_commands_do_and_nothing_else(ssm: SsmStore) -> None:
    iam = act(ssm, "admin", work=lambda: administer(ssm))

    assert iam.asked == documented_actions("admin")


def test_a_customers_key_needs_what_its_policies_say_and_nothing_else(ssm: SsmStore) -> None:
    secret = "/byom/accounts/customer/secrets/main/1"
    ssm.put(secret, SECRET, secure=True)
    kms, sts = build_client("kms", REGION), build_client("sts", REGION)
    real = kms.create_key()["KeyMetadata"]["Arn"]
    iam = Iam("admin", "admin-kms")

    def as_documented(action: str, request: Mapping[str, Any]) -> None:
        # The documentation's key does not exist in the stand-in; this one stands for it.
        iam(action, {**request, "KeyId": KEY} if request.get("KeyId") == real else request)

    with Calls(before=as_documented).watching(ssm._ssm(), kms, sts):
        checks = set_kms_key(ssm, "customer", real, clients=lambda service, _: {"kms": kms, "sts": sts}[service])
        ended = list(reencrypt(ssm, plan(ssm, "customer")))
    assert [check.status for check in checks] == [Status.OK] * 5
    assert [done.outcome.value for done in ended] == ["reencrypted"]
    assert kms_key_for(ssm, "/byom/accounts/customer") == real
    assert {action for action in iam.asked if action.startswith("kms:")} == documented_actions("admin-kms")

    worker = act(ssm, "worker", "worker-kms", work=lambda: ssm.get(secret))
    assert {action for action in worker.asked if action.startswith("kms:")} == documented_actions("worker-kms")


def test_the_policy_of_the_key_lets_both_roles_do_what_theirs_do() -> None:
    def allowed(role: str) -> set[str]:
        return {
            action
            for statement in POLICIES["customer-key"]["Statement"]
            if statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{role}"}
            for action in statement["Action"]
        }

    assert allowed("byom-admin") == documented_actions("admin-kms")
    assert allowed("byom-worker") == documented_actions("worker-kms")


def test_a_condition_of_the_key_covers_the_sample_that_is_encrypted_first() -> None:
    patterns = [
        pattern
        for statement in POLICIES["customer-key"]["Statement"]
        if "kms:Encrypt" in statement["Action"]
        for pattern in statement["Condition"]["StringLike"]["kms:EncryptionContext:PARAMETER_ARN"]
    ]

    assert parameter_arn("/byom/accounts/acme/*") in patterns


def test_a_role_that_lacks_the_key_is_told_so(ssm: SsmStore) -> None:
    fill(ssm)
    ssm.put("/byom/accounts/customer/secrets/main/1", SECRET, secure=True)

    with pytest.raises(StoreError, match="AWS denies kms:Decrypt; allow it in the policy of this process's role and"):
        act(ssm, "worker", work=lambda: ssm.get("/byom/accounts/customer/secrets/main/1"))
