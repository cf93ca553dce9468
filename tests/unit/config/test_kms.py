"""A customer's KMS key: tried out before it is saved, and used for whose secrets it is."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from config.connections import (
    AccountProfile,
    account_path,
    project_path,
    read_account,
    save_project,
    write_account,
)
from config.errors import StoreError
from config.kms import kms_key_for
from config.kms_check import KeyCheck, Status, check_kms_key, set_kms_key
from config.store import MemoryStore, ParameterStore
from config.store.aws import build_client
from config.store.ssm import SsmStore
from tests.aws import ACCOUNT, REGION, Calls, MotoServer, denial

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OK, FAILED, SKIPPED = Status.OK, Status.FAILED, Status.SKIPPED

Clients = Callable[[str, str | None], Any]


@pytest.fixture
def clients(aws_clients: dict[str, Any], calls: Calls) -> Clients:
    """Clients of moto, watched."""
    return lambda service, _region: aws_clients[service]


@pytest.fixture(scope="module")
def kms(moto_server: MotoServer) -> Any:
    """The customer's own client: what it does is not counted."""
    with moto_server.as_environment():
        return build_client("kms", None)


@pytest.fixture
def key(kms: Any) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def statuses(checks: list[KeyCheck]) -> dict[str, Status]:
    return {check.name: check.status for check in checks}


def found(checks: list[KeyCheck], name: str) -> KeyCheck:
    return next(check for check in checks if check.name == name)


def test_a_key_that_works_is_saved(ssm: SsmStore, key: str, clients: Clients) -> None:
    checks = set_kms_key(ssm, "acme", key, clients=clients)

    assert statuses(checks) == dict.fromkeys(("region", "credentials", "key", "encrypt", "decrypt"), OK)
    assert read_account(ssm, "acme").kms_key == key


def test_the_sample_is_encrypted_as_ssm_would_encrypt_a_secret_of_the_account(
    ssm: SsmStore, key: str, clients: Clients, calls: Calls
) -> None:
    contexts: dict[str, Any] = {}
    calls.before = lambda action, request: contexts.update(
        {action: request["EncryptionContext"]} if action.startswith("kms:") and "EncryptionContext" in request else {}
    )
    check_kms_key(ssm, "acme", key, clients=clients)

    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{ssm.prefix}/byom/accounts/acme/kms-check"
    assert contexts == {"kms:Encrypt": {"PARAMETER_ARN": arn}, "kms:Decrypt": {"PARAMETER_ARN": arn}}


@pytest.mark.parametrize(
    ("denied", "expected"),
    [
        ({"kms:DescribeKey"}, {"key": FAILED, "encrypt": OK, "decrypt": OK}),
        ({"kms:Encrypt"}, {"key": OK, "encrypt": FAILED, "decrypt": SKIPPED}),
        ({"kms:Decrypt"}, {"key": OK, "encrypt": OK, "decrypt": FAILED}),
        ({"kms:DescribeKey", "kms:Decrypt"}, {"key": FAILED, "encrypt": OK, "decrypt": FAILED}),
        ({"kms:DescribeKey", "kms:Encrypt"}, {"key": FAILED, "encrypt": FAILED, "decrypt": SKIPPED}),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "",
)
def test_each_missing_permission_is_named_and_nothing_is_saved(
    ssm: SsmStore, key: str, clients: Clients, calls: Calls, denied: set[str], expected: Mapping[str, Status]
) -> None:
    for action in denied:
        error = denial(action, key, why="no resource-based policy allows the {} action").response["Error"]
        calls.refused[action] = (error["Code"], error["Message"])

    checks = set_kms_key(ssm, "acme", key, clients=clients)

    assert statuses(checks) == {"region": OK, "credentials": OK, **expected}
    assert {check.missing for check in checks if check.missing} == denied
    assert all(f"AWS denies {check.missing}" in check.message for check in checks if check.missing)
    assert read_account(ssm, "acme").kms_key is None


def test_a_disabled_key_is_refused(ssm: SsmStore, kms: Any, key: str, clients: Clients, calls: Calls) -> None:
    kms.disable_key(KeyId=key.rpartition("/")[2])
    calls.refused["kms:Encrypt"] = ("DisabledException", f"{key} is disabled.")

    checks = set_kms_key(ssm, "acme", key, clients=clients)

    assert found(checks, "key").message == "its state is Disabled; its owner must enable it"
    assert found(checks, "encrypt").message == f"the KMS key {key} is disabled; its owner must enable it"
    assert read_account(ssm, "acme").kms_key is None


def test_a_key_about_to_be_deleted_is_refused(ssm: SsmStore, kms: Any, key: str, clients: Clients) -> None:
    kms.schedule_key_deletion(KeyId=key.rpartition("/")[2])

    checks = set_kms_key(ssm, "acme", key, clients=clients)

    assert found(checks, "key").message == "its state is PendingDeletion; its owner must enable it"


@pytest.mark.parametrize(
    ("usage", "spec"),
    [("SIGN_VERIFY", "RSA_2048"), ("ENCRYPT_DECRYPT", "RSA_2048"), ("GENERATE_VERIFY_MAC", "HMAC_256")],
)
def test_a_key_of_another_kind_is_refused(
    ssm: SsmStore, kms: Any, clients: Clients, calls: Calls, usage: str, spec: str
) -> None:
    arn = kms.create_key(KeyUsage=usage, KeySpec=spec)["KeyMetadata"]["Arn"]
    calls.refused["kms:Encrypt"] = ("InvalidKeyUsageException", "…")

    checks = set_kms_key(ssm, "acme", arn, clients=clients)

    assert found(checks, "key").message.endswith("create a symmetric key for ENCRYPT_DECRYPT")
    assert "a symmetric key for ENCRYPT_DECRYPT is needed" in found(checks, "encrypt").message


def test_a_key_that_does_not_exist_is_refused(ssm: SsmStore, clients: Clients) -> None:
    checks = set_kms_key(ssm, "acme", KEY, clients=clients)

    assert found(checks, "key").status is FAILED
    assert "does not exist in this region" in found(checks, "key").message


def test_a_key_of_another_region_is_not_even_tried(ssm: SsmStore, clients: Clients, calls: Calls) -> None:
    [region, _] = set_kms_key(ssm, "acme", KEY.replace("us-east-1", "eu-west-1"), clients=clients)

    assert region.status is FAILED
    assert "the key is in eu-west-1 and the store in us-east-1" in region.message
    assert not any(action.startswith("kms:") for action in calls.made)


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/acme",
        "arn:aws:kms:us-east-1:111122223333:alias/acme",
        "arn:aws:iam::111122223333:role/byom",
        f"{KEY}\n",
        f"{KEY}/../other",
    ],
    ids=ascii,
)
def test_what_is_not_the_arn_of_a_key_is_refused_without_a_call(ssm: SsmStore, calls: Calls, arn: str) -> None:
    [check] = check_kms_key(ssm, "acme", arn)

    assert check.status is FAILED
    assert "give the ARN of a key" in check.message
    assert calls.made == []


def test_without_credentials_the_mend_is_given(ssm: SsmStore, clients: Clients, calls: Calls) -> None:
    def fail(action: str, _: Mapping[str, Any]) -> None:
        if action.startswith("sts:"):
            raise NoCredentialsError

    calls.before = fail
    checks = set_kms_key(ssm, "acme", KEY, clients=clients)

    assert statuses(checks) == {"region": OK, "credentials": FAILED}
    assert "has no AWS credentials" in checks[1].message


def test_a_store_that_is_not_ssm_keeps_the_name_of_a_key_that_works(key: str, clients: Clients) -> None:
    store = MemoryStore()
    checks = set_kms_key(store, "acme", key, clients=clients)

    assert "only keeps the name" in found(checks, "region").message
    assert read_account(store, "acme").kms_key == key


def test_going_back_to_the_stores_own_key_needs_no_call_and_keeps_the_rest(ssm: SsmStore, calls: Calls) -> None:
    write_account(ssm, "acme", AccountProfile(kms_key=KEY))

    assert set_kms_key(ssm, "acme", None) == []
    assert read_account(ssm, "acme") == AccountProfile()
    assert not any(action.startswith("kms:") for action in calls.made)


def test_the_key_of_an_account_holds_for_its_projects(store: ParameterStore) -> None:
    write_account(store, "acme", AccountProfile(kms_key=KEY))
    save_project(store, "of-acme", account="acme")
    save_project(store, "of-another", account="another")
    save_project(store, "alone")

    scopes = [account_path("acme"), *map(project_path, ("of-acme", "of-another", "alone", "unknown"))]
    assert [kms_key_for(store, scope) for scope in scopes] == [KEY, KEY, None, None, None]
    assert kms_key_for(store, account_path("another")) is None
    assert kms_key_for(store, "/byom/probe") is None


@pytest.mark.parametrize("scope", ["/byom/projects/", "/byom/projects/../accounts/acme", "/byom/accounts/a b"])
def test_a_scope_that_is_none_is_refused(store: ParameterStore, scope: str) -> None:
    with pytest.raises(StoreError):
        kms_key_for(store, scope)
