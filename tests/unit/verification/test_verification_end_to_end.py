"""Every kind of provider, verified over the transport that workers use, against the simulated vendors."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.contract import ProviderKind
from tests.unit.verification.conftest import Verify
from tests.verification import KINDS
from workers.embedded.simulator import Account, FaultRule, Injection, KeyState, Reason, Simulator, simulated_credential
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.verification import Check, CheckName, Problem, Status, Verification

OPENAI, AZURE, GEMINI = ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI, ProviderKind.GEMINI
VERTEX, ANTHROPIC, BEDROCK = ProviderKind.VERTEX, ProviderKind.ANTHROPIC, ProviderKind.BEDROCK
COMPATIBLE = ProviderKind.OPENAI_COMPATIBLE

#: The simulator's name of each kind's account: the secret itself, or what it stands for.
ACCOUNTS = {VERTEX: "canary@acme.iam.gserviceaccount.com", BEDROCK: "AKIACANARY0000000001"}


def account_of(kind: ProviderKind, **settings: Any) -> Account:
    return Account(key=SecretStr(ACCOUNTS.get(kind, KINDS[kind][2])), **settings)


def failure_of(report: Verification) -> Check:
    assert report.failure is not None, report
    return report.failure


def check_of(report: Verification, name: CheckName) -> Check:
    return next(check for check in report.checks if check.name is name)


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_connection_that_works_passes_all_checks_for_the_price_of_one_small_call(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    report = await verify_kind(kind)

    statuses = {check.name: check.status for check in report.checks}
    # Vertex has no model that goes without thinking; a compatible server does not say until when it serves.
    expected = dict.fromkeys(CheckName, Status.OK)
    expected |= {CheckName.REASONING_OFF: Status.WARNING} if kind is VERTEX else {}
    expected |= {CheckName.LIFECYCLE: Status.SKIPPED} if kind is COMPATIBLE else {}
    billed = vendors.books().billed
    assert statuses == expected
    assert (report.ok, report.credential_version, len(report.attempts)) == (True, 3, 1)
    assert report.usage.total == billed.total <= 100
    assert (report.cost_usd is None) == (kind is COMPATIBLE)
    assert report.cost_usd is None or 0 < report.cost_usd < 0.0001


@pytest.mark.parametrize("kind", ProviderKind)
async def test_the_call_is_made_as_a_worker_makes_it(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    await verify_kind(kind, labels={"team": "core"})

    [entry] = [entry for entry in vendors.books().entries if entry.served]
    assert entry.usage.reasoning == 0
    if kind in {OPENAI, AZURE, GEMINI}:
        assert entry.stored is False
    if kind not in {ANTHROPIC, COMPATIBLE}:
        assert entry.tags["project"] == "acme"
        assert entry.tags["team"] == "core"


BAD_KEYS: dict[ProviderKind, tuple[str, str]] = {
    OPENAI: ("sk-wrong-key", "platform.openai.com/api-keys"),
    AZURE: ("0000wrong0000", "Keys and Endpoint"),
    GEMINI: ("AIzaWrong", "aistudio.google.com/api-keys"),
    VERTEX: (simulated_key_file("gone@acme.iam.gserviceaccount.com"), "iam-admin/serviceaccounts"),
    ANTHROPIC: ("sk-ant-wrong", "platform.claude.com/settings/keys"),
    BEDROCK: (simulated_credential("AKIAWRONG00000000001"), "IAM"),
    COMPATIBLE: ("wrong-key", "where it was issued"),
}


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_bad_key_is_told_with_where_to_get_a_good_one(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    secret, mend = BAD_KEYS[kind]
    named = {VERTEX: "gone@acme.iam.gserviceaccount.com", BEDROCK: "AKIAWRONG00000000001"}.get(kind, secret)
    vendors.put_account(Account(key=SecretStr(named), state=KeyState.REVOKED))
    failure = failure_of(report := await verify_kind(kind, secret=secret))

    assert (failure.name, failure.problem) == (CheckName.CREDENTIAL, Problem.BAD_KEY)
    assert mend in failure.mend
    assert report.usage.total == vendors.books().billed.total == 0


@pytest.mark.parametrize("kind", ProviderKind)
async def test_an_expired_key_is_told(verify_kind: Verify, vendors: Simulator, kind: ProviderKind) -> None:
    vendors.put_account(account_of(kind, state=KeyState.EXPIRED))
    failure = failure_of(await verify_kind(kind))

    assert failure.name is CheckName.CREDENTIAL
    # Of these vendors an expired key looks like a wrong one; the message names both.
    told_apart = kind in {GEMINI, BEDROCK, COMPATIBLE}
    assert failure.problem is (Problem.EXPIRED_KEY if told_apart else Problem.BAD_KEY)


UNKNOWN = {
    OPENAI: "byom models --provider openai",
    AZURE: "exactly the model's id as its name",
    GEMINI: "byom models --provider gemini",
    VERTEX: "location to global",
    ANTHROPIC: "byom models --provider anthropic",
    BEDROCK: "byom models --provider bedrock",
    COMPATIBLE: "The server lists gemma3, qwen3-32b",
}


@pytest.mark.parametrize("kind", ProviderKind)
async def test_an_unknown_model_is_told_with_what_to_choose(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    if kind is COMPATIBLE:
        vendors.put_account(account_of(kind, models=frozenset({"gemma3", "qwen3-32b"})))
    failure = failure_of(await verify_kind(kind, model="my-gpt-deployment", unverified=True))

    assert (failure.name, failure.problem) == (CheckName.MODEL, Problem.UNKNOWN_MODEL)
    assert "my-gpt-deployment" in failure.message
    assert UNKNOWN[kind] in failure.mend


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_missing_permission_is_told_with_its_name(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    # The tokens of Vertex come from another path; that one is not to fail.
    vendors.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.FORBIDDEN, prefix=f"/{KINDS[kind][0]}/", count=1))
    failure = failure_of(await verify_kind(kind))

    names = {VERTEX: "roles/aiplatform.user", BEDROCK: "bedrock:InvokeModel", OPENAI: "Responses"}
    assert failure.problem is Problem.MISSING_PERMISSION
    assert failure.name is CheckName.PERMISSION
    assert names.get(kind, "") in failure.mend


@pytest.mark.parametrize("kind", ProviderKind)
async def test_an_account_without_money_is_told_apart_from_a_bad_key(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    vendors.add_fault(
        FaultRule(kind=Injection.STATUS, reason=Reason.QUOTA_EXHAUSTED, prefix=f"/{KINDS[kind][0]}/", count=1)
    )
    report = await verify_kind(kind)

    assert failure_of(report).problem is Problem.QUOTA_EXHAUSTED
    assert check_of(report, CheckName.CREDENTIAL).status is Status.OK


#: What is put behind the server's URL, and what the mend says.
WRONG_PATHS = {
    OPENAI: ("/openai", "end it with /v1"),
    AZURE: ("/azure/openai/deployments/x", "not the Target URI"),
    GEMINI: ("/gemini/v1beta", "without a path"),
    VERTEX: ("/vertex/v1", "without a path"),
    ANTHROPIC: ("/anthropic/v1", "without a path"),
    BEDROCK: ("/bedrock/v1", "without a path"),
    COMPATIBLE: ("/compatible", "ends with /v1"),
}


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_wrong_path_is_told_apart_from_an_unknown_model(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind
) -> None:
    path, mend = WRONG_PATHS[kind]
    failure = failure_of(await verify_kind(kind, base_url=vendors.url + path))

    assert (failure.name, failure.problem) == (CheckName.ENDPOINT, Problem.WRONG_ENDPOINT)
    assert mend in failure.mend


@pytest.mark.parametrize("kind", ProviderKind)
async def test_an_address_where_nothing_listens_is_told(
    verify_kind: Verify, kind: ProviderKind, unused_tcp_port: int
) -> None:
    failure = failure_of(report := await verify_kind(kind, base_url=f"http://127.0.0.1:{unused_tcp_port}"))

    assert (failure.name, failure.problem) == (CheckName.ENDPOINT, Problem.WRONG_ENDPOINT)
    assert f"nothing listens at http://127.0.0.1:{unused_tcp_port}" in failure.message
    assert all(check.status is Status.SKIPPED for check in report.checks[1:])


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_machine_without_a_network_is_told(
    verify_kind: Verify, kind: ProviderKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object) -> list[dict[str, object]]:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    own = {AZURE: "https://acme.openai.azure.com/", COMPATIBLE: "https://llm.example.com/v1"}
    failure = failure_of(await verify_kind(kind, base_url=own.get(kind)))

    assert failure.name is CheckName.ENDPOINT
    assert failure.problem is (Problem.WRONG_ENDPOINT if kind in own else Problem.NO_NETWORK)
    assert "this machine's network" in failure.mend


async def test_a_server_without_tls_behind_https_is_told(verify_kind: Verify, vendors: Simulator) -> None:
    address = vendors.base_urls["compatible"].replace("http:", "https:")
    failure = failure_of(await verify_kind(COMPATIBLE, base_url=address))

    assert failure.problem is Problem.WRONG_ENDPOINT
    assert "write http://" in failure.mend


async def test_an_address_that_may_not_be_called_is_not(verify_kind: Verify) -> None:
    failure = failure_of(await verify_kind(COMPATIBLE, base_url="https://169.254.169.254/v1"))

    assert failure.problem is Problem.WRONG_ENDPOINT
    assert "link-local" in failure.message


async def test_a_server_that_never_answers_is_told_after_the_time_is_up(
    verify_kind: Verify, vendors: Simulator
) -> None:
    vendors.add_fault(FaultRule(kind=Injection.HANG))
    failure = failure_of(await verify_kind(COMPATIBLE, seconds=0.2))

    assert failure.problem is Problem.PROVIDER_UNAVAILABLE


async def test_a_key_of_another_vendor_is_recognised(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.put_account(Account(key=SecretStr("sk-ant-mine"), state=KeyState.REVOKED))
    failure = failure_of(await verify_kind(OPENAI, secret="sk-ant-mine"))

    assert failure.mend.endswith("what you gave looks like an Anthropic key")


async def test_a_server_that_asks_for_a_key_says_so(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.MISSING_KEY))
    report = await verify_kind(COMPATIBLE, credential=None)

    assert failure_of(report).problem is Problem.MISSING_KEY
    assert report.credential_version is None


async def test_a_model_with_a_similar_name_is_suggested(verify_kind: Verify) -> None:
    failure = failure_of(await verify_kind(OPENAI, model="gpt6-luna", unverified=True))

    assert "OpenAI lists gpt-6-luna" in failure.mend


async def test_a_gateway_that_calls_an_unknown_model_a_bad_request_is_understood(
    verify_kind: Verify, vendors: Simulator
) -> None:
    vendors.put_account(account_of(COMPATIBLE, models=frozenset({"gemma3"})))
    vendors.add_fault(FaultRule(kind=Injection.STATUS, status=400, model="qwen3-8b"))
    failure = failure_of(await verify_kind(COMPATIBLE))

    assert failure.problem is Problem.UNKNOWN_MODEL
    assert "gemma3" in failure.mend


async def test_a_server_without_structured_output_is_told(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, status=400))
    failure = failure_of(await verify_kind(COMPATIBLE, model="simulated-model"))

    assert (failure.name, failure.problem) == (CheckName.STRUCTURED_OUTPUT, Problem.UNSUPPORTED_REQUEST)


@pytest.mark.parametrize("kind", ProviderKind)
@pytest.mark.parametrize("injection", [Injection.MALFORMED, Injection.WRONG_SCHEMA])
async def test_an_answer_outside_the_schema_fails_and_is_paid_for(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind, injection: Injection
) -> None:
    vendors.add_fault(FaultRule(kind=injection, prefix=f"/{KINDS[kind][0]}/"))
    failure = failure_of(report := await verify_kind(kind))

    assert (failure.name, failure.problem) == (CheckName.STRUCTURED_OUTPUT, Problem.UNUSABLE_OUTPUT)
    assert report.usage.total == vendors.books().billed.total > 0


async def test_a_website_in_place_of_the_api_is_told(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.HTML))

    assert failure_of(await verify_kind(COMPATIBLE)).problem is Problem.WRONG_ENDPOINT


@pytest.mark.parametrize("rule", [{"kind": Injection.RESET}, {"kind": Injection.STATUS, "status": 500}])
async def test_what_may_pass_gets_a_second_call(verify_kind: Verify, vendors: Simulator, rule: dict[str, Any]) -> None:
    vendors.add_fault(FaultRule(**rule, count=1))
    report = await verify_kind(OPENAI)

    assert report.ok
    assert [attempt.outcome for attempt in report.attempts][1:] == ["ok"]


async def test_what_lasts_is_not_called_for_ever(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, status=500))
    report = await verify_kind(OPENAI)

    assert failure_of(report).problem is Problem.PROVIDER_UNAVAILABLE
    assert len(report.attempts) == 2


async def test_a_rate_limit_is_not_mistaken_for_a_bad_key(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, status=429, retry_after=7))
    report = await verify_kind(OPENAI)

    assert failure_of(report).problem is Problem.RATE_LIMITED
    assert check_of(report, CheckName.CREDENTIAL).status is Status.OK
    assert len(report.attempts) == 1


async def test_where_bedrock_does_not_enforce_the_schema_the_second_call_uses_a_tool(verify_kind: Verify) -> None:
    model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    report = await verify_kind(BEDROCK, model=model, structured_output="native")

    assert report.ok
    assert len(report.attempts) == 2


async def test_a_machine_without_aws_credentials_is_not_mistaken_for_a_bad_role(
    verify_kind: Verify, vendors: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    report = await verify_kind(BEDROCK, secret="arn:aws:iam::123456789012:role/byom-extract")

    assert failure_of(report).problem is Problem.WORKER_SETUP
    assert "no AWS credentials of its own" in failure_of(report).message
    assert len(report.attempts) == 1
    assert vendors.books().requests == 0


async def test_a_bare_bedrock_id_is_told_the_profiles(verify_kind: Verify) -> None:
    failure = failure_of(await verify_kind(BEDROCK, model="anthropic.claude-haiku-5-5", unverified=True))

    assert "global.anthropic.claude-haiku-5-5" in failure.mend


async def test_a_model_that_the_vendor_re_routes_is_flagged_with_what_it_bills(verify_kind: Verify) -> None:
    report = await verify_kind(GEMINI, model="gemini-2.5-flash", unverified=True)
    check = check_of(report, CheckName.MODEL)

    assert report.ok
    assert check.status is Status.WARNING
    assert "gemini-3.5-flash-lite" in check.message


async def test_a_model_that_reasons_is_flagged_with_the_tokens_it_cost(verify_kind: Verify) -> None:
    report = await verify_kind(OPENAI, model="gpt-6-sol", unverified=True)
    check = check_of(report, CheckName.REASONING_OFF)

    assert report.ok
    assert check.status is Status.WARNING
    assert f"512 of the {report.usage.output} output tokens" in check.message


async def test_a_model_that_has_left_the_catalogue_is_not_called(verify_kind: Verify, vendors: Simulator) -> None:
    failure = failure_of(report := await verify_kind(OPENAI, model="gpt-3.5-turbo"))

    assert (failure.name, failure.problem) == (CheckName.MODEL, Problem.UNKNOWN_MODEL)
    assert report.attempts == ()
    assert vendors.books().requests == 0


async def test_a_key_that_may_not_read_the_list_of_models_is_as_good(verify_kind: Verify, vendors: Simulator) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.FORBIDDEN, prefix="/openai/v1/models"))
    report = await verify_kind(OPENAI)

    assert report.ok
    assert check_of(report, CheckName.LIFECYCLE).message == "no end of gpt-6-luna is announced"


@pytest.mark.parametrize("kind", ProviderKind)
@pytest.mark.parametrize("state", KeyState)
async def test_no_secret_is_in_any_report(
    verify_kind: Verify, vendors: Simulator, kind: ProviderKind, state: KeyState
) -> None:
    vendors.put_account(account_of(kind, state=state))
    report = await verify_kind(kind)

    shown = repr(report) + json.dumps(report.as_json())
    secret = KINDS[kind][2]
    parts = [str(part) for part in json.loads(secret).values()] if secret.startswith("{") else [secret]
    hidden = [part for part in parts if "PRIVATE" in part or len(part) == 40 or not secret.startswith("{")]
    assert hidden
    assert all(part not in shown for part in hidden)
