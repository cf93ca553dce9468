"""What the store in SSM asks of AWS."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.connections import list_projects, save_project
from config.errors import StoreConflict, StoreError
from config.store import Parameter, open_store
from config.store.ssm import SsmStore
from tests.aws import REGION, Calls

SECRET = SecretStr("sk-CANARY")
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def requests(calls: Calls) -> list[tuple[str, Mapping[str, Any]]]:
    """Every call, with its request."""
    made: list[tuple[str, Mapping[str, Any]]] = []
    calls.before = lambda action, request: made.append((action, request))
    return made


def test_a_secret_is_a_secure_string_under_the_default_key(
    ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]]
) -> None:
    ssm.put("/a", SECRET, secure=True)

    assert requests == [
        (
            "ssm:PutParameter",
            {
                "Name": f"{ssm.prefix}/a",
                "Value": "sk-CANARY",
                "Type": "SecureString",
                "KeyId": "alias/aws/ssm",
                "Overwrite": True,
                "Tier": "Standard",
            },
        )
    ]


def test_a_customers_key_and_a_new_name_are_asked_for(
    ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]]
) -> None:
    ssm.put("/a", SECRET, secure=True, expected_version=0, kms_key=KEY)

    [(_, request)] = requests
    assert (request["KeyId"], request["Overwrite"]) == (KEY, False)


def test_what_is_not_secret_names_no_key(ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]]) -> None:
    ssm.put("/a", SECRET, secure=False, kms_key=KEY)

    [(_, request)] = requests
    assert request["Type"] == "String"
    assert "KeyId" not in request


@pytest.mark.parametrize(
    ("text", "tier"), [("x" * 4_096, "Standard"), ("x" * 4_097, "Advanced"), ("ä" * 2_049, "Advanced")]
)
def test_the_advanced_tier_is_paid_only_for_a_value_that_needs_it(
    ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]], text: str, tier: str
) -> None:
    ssm.put("/a", SecretStr(text), secure=False)

    assert [request["Tier"] for _, request in requests] == [tier]


def test_a_parameter_that_is_advanced_already_stays_so(ssm: SsmStore, calls: Calls) -> None:
    ssm.put("/a", SecretStr("x" * 5_000), secure=True)

    def refuse(action: str, request: Mapping[str, Any]) -> None:
        if request.get("Tier") == "Standard":
            message = (
                "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the "
                "advanced-parameter tier to the standard-parameter tier."
            )
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, action)

    calls.before = refuse

    assert ssm.put("/a", SecretStr("small"), secure=True).version == 2


def test_an_account_whose_default_key_is_not_made_yet_gets_it(ssm: SsmStore, calls: Calls) -> None:
    def refuse(action: str, request: Mapping[str, Any]) -> None:
        if request.get("KeyId") == "alias/aws/ssm":
            error = {"Code": "InvalidKeyId", "Message": "Alias arn:aws:kms:…:alias/aws/ssm is not found."}
            raise ClientError({"Error": error}, action)  # type: ignore[typeddict-item] # as AWS answers

    calls.before = refuse

    assert ssm.put("/a", SECRET, secure=True).version == 1


def test_a_refused_customers_key_is_not_replaced_by_another(ssm: SsmStore, calls: Calls) -> None:
    calls.refused["ssm:PutParameter"] = ("InvalidKeyId", f"{KEY} is disabled.")

    with pytest.raises(StoreError, match=f"the KMS key {KEY} is disabled; its owner must enable it"):
        ssm.put("/a", SECRET, secure=True, kms_key=KEY)
    assert calls.made == ["ssm:PutParameter"]


def test_lists_are_asked_for_ten_at_a_time(ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]]) -> None:
    for number in range(21):
        ssm.put(f"/p/{number}", SECRET, secure=False)
    requests.clear()
    listed = list(ssm.list("/p"))

    assert len(listed) == 21
    assert [(action, request["MaxResults"]) for action, request in requests] == [("ssm:GetParametersByPath", 10)] * 3


def test_only_what_may_be_secret_is_decrypted(ssm: SsmStore, requests: list[tuple[str, Mapping[str, Any]]]) -> None:
    ssm.list("/p", secure=False)
    ssm.list("/p", secure=True)
    ssm.list("/p")

    assert [request["WithDecryption"] for _, request in requests] == [False, True, True]


def test_projects_are_listed_while_the_key_of_one_is_disabled(ssm: SsmStore, calls: Calls) -> None:
    for project in ("acme", "other"):
        save_project(ssm, project)
    ssm.put("/byom/projects/acme/secrets/main/1", SECRET, secure=True, kms_key=KEY)

    def refuse(action: str, request: Mapping[str, Any]) -> None:
        kinds = [value for one in request.get("ParameterFilters", []) for value in one["Values"]]
        if action == "ssm:GetParametersByPath" and kinds != ["String"]:
            raise ClientError({"Error": {"Code": "InvalidKeyId", "Message": f"{KEY} is disabled."}}, action)

    calls.before = refuse

    with pytest.raises(StoreError, match="is disabled"):
        ssm.list("/byom/projects")
    assert list_projects(ssm) == ["acme", "other"]


@pytest.mark.parametrize(
    ("again", "kept"),
    [
        (True, Parameter(path="/a", value=SecretStr("theirs"), version=4, secure=True)),
        (False, Parameter(path="/a", value=SecretStr("theirs"), version=2, secure=True)),
    ],
    ids=["in between", "before"],
)
def test_who_came_between_keeps_the_value(
    ssm: SsmStore,
    calls: Calls,
    again: bool,  # noqa: FBT001 - a parameter
    kept: Parameter,
) -> None:
    ssm.put("/a", SecretStr("first"), secure=True)
    moment = "ssm:PutParameter" if again else "ssm:GetParameter"

    def come_between(action: str, _: Mapping[str, Any]) -> None:
        if action == moment:
            calls.before = lambda _action, _request: None
            SsmStore(prefix=ssm.prefix, client=ssm._ssm()).put("/a", SecretStr("theirs"), secure=True)

    calls.before = come_between
    with pytest.raises(StoreConflict):
        ssm.put("/a", SecretStr("ours"), secure=True, expected_version=1)

    assert ssm.get("/a") == kept


def test_who_deleted_in_between_is_not_undone(ssm: SsmStore, calls: Calls) -> None:
    ssm.put("/a", SecretStr("first"), secure=True)

    def come_between(action: str, _: Mapping[str, Any]) -> None:
        if action == "ssm:PutParameter":
            calls.before = lambda _action, _request: None
            ssm.delete("/a")

    calls.before = come_between
    with pytest.raises(StoreConflict):
        ssm.put("/a", SecretStr("ours"), secure=True, expected_version=1)

    assert ssm.get("/a") is None


def test_what_follows_a_lost_race_is_left_alone(ssm: SsmStore, calls: Calls) -> None:
    ssm.put("/a", SecretStr("first"), secure=True)
    puts = 0

    def come_between(action: str, _: Mapping[str, Any]) -> None:
        nonlocal puts
        mine = calls.before
        calls.before = lambda _action, _request: None
        if action == "ssm:PutParameter" and puts == 0:
            puts += 1
            ssm.put("/a", SecretStr("theirs"), secure=True)
        elif action == "ssm:GetParameter" and puts == 1:
            puts += 1
            ssm.put("/a", SecretStr("yet another"), secure=True)
        calls.before = mine

    calls.before = come_between
    with pytest.raises(StoreConflict):
        ssm.put("/a", SecretStr("ours"), secure=True, expected_version=1)
    calls.before = lambda _action, _request: None

    assert ssm.get("/a") == Parameter(path="/a", value=SecretStr("yet another"), version=4, secure=True)


def test_a_kind_that_cannot_change_is_reported(ssm: SsmStore, calls: Calls) -> None:
    ssm.put("/a", SECRET, secure=True)
    with pytest.raises(StoreError, match="/a is stored as a secret and cannot become something else; delete it first"):
        ssm.put("/a", SECRET, secure=False, expected_version=1)

    # Without an expected version nothing is looked at before; AWS itself refuses.
    calls.refused["ssm:PutParameter"] = ("HierarchyTypeMismatchException", "… doesn't support changing a type …")
    with pytest.raises(StoreError, match=r"of another kind .* delete it first"):
        ssm.put("/a", SECRET, secure=False)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=12)
    | st.lists(st.sampled_from(["..", ".", "/", "a", "b", ":", "%2e", "\\", "\n", "-", "*"]), max_size=8).map("".join)
)
def test_no_path_reaches_what_is_outside_of_the_prefix(ssm: SsmStore, calls: Calls, path: str) -> None:
    asked: list[str] = []
    calls.before = lambda _action, request: asked.extend(
        [request[field] for field in ("Name", "Path") if field in request]
        + [value for one in request.get("ParameterFilters", []) if one["Key"] == "Path" for value in one["Values"]]
    )
    for use in (ssm.get, ssm.delete, ssm.list, ssm.secrets):
        try:
            use(path)
        except StoreError:
            continue
    assert all(name.startswith(f"{ssm.prefix}/") and ".." not in name.split("/") and ":" not in name for name in asked)


@pytest.mark.parametrize(
    ("url", "region", "prefix"),
    [
        ("ssm:", REGION, ""),
        ("ssm://", REGION, ""),
        ("ssm://eu-central-1", "eu-central-1", ""),
        ("ssm://eu-central-1/", "eu-central-1", ""),
        ("ssm://us-gov-west-1/team/stage", "us-gov-west-1", "/team/stage"),
        ("ssm:///team", REGION, "/team"),
    ],
)
def test_a_url_says_region_and_prefix(aws: pytest.MonkeyPatch, url: str, region: str, prefix: str) -> None:
    store = open_store(url)

    assert isinstance(store, SsmStore)
    assert (store.region, store.prefix) == (region, prefix)


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_without_a_region_in_the_url_either_variable_says_it(aws: pytest.MonkeyPatch, variable: str) -> None:
    aws.delenv("AWS_REGION")
    aws.delenv("AWS_DEFAULT_REGION")
    aws.setenv(variable, "ap-southeast-2")
    store = open_store("ssm:")

    assert isinstance(store, SsmStore)
    assert store.region == "ap-southeast-2"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ssm:eu-central-1", "write ssm:, ssm://REGION"),
        ("ssm:/team", "write ssm:, ssm://REGION"),
        ("ssm://Frankfurt", "names no region"),
        ("ssm://key:CANARY@eu-central-1", "names no region"),
        ("ssm://eu-central-1/a//b", "is not a parameter path"),
        ("ssm://eu-central-1/../b", "is not a parameter path"),
        ("ssm:///aws/team", "must not begin with 'aws' or 'ssm'"),
        ("ssm:///SSMstuff", "must not begin with 'aws' or 'ssm'"),
    ],
)
def test_a_url_that_does_not_fit_is_refused(url: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem) as caught:
        open_store(url)

    assert "CANARY" not in str(caught.value)


def test_two_prefixes_are_two_stores(aws: pytest.MonkeyPatch) -> None:
    one, other, whole = (open_store(f"ssm:///two-{name}") for name in ("stores", "stores-2", "stores/byom"))
    one.put("/byom/a", SecretStr("one"), secure=False)

    assert other.get("/byom/a") is None
    assert list(other.list("/byom")) == []
    assert whole.get("/a") == Parameter(path="/a", value=SecretStr("one"), version=1)


def test_without_a_prefix_names_are_as_they_are(aws: pytest.MonkeyPatch) -> None:
    store = open_store("ssm:")
    put = store.put("/without-a-prefix/a", SECRET, secure=True)

    assert list(store.list("/without-a-prefix")) == [put]
