"""What the store in SSM makes of AWS's refusals: which mend it gives, and that no secret is in it."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    SSOTokenLoadError,
    UnknownEndpointError,
)
from pydantic import SecretStr

from config.errors import StoreError
from config.store import open_store
from config.store.ssm import SsmStore
from tests.aws import REGION, Calls, Unhurried, denial, parameter_arn

SECRET = SecretStr("sk-CANARY")
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever fails in these tests, no secret is logged, not even at DEBUG."""
    for name in ("", "botocore", "boto3", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    assert not [record for record in caplog.get_records("call") if "CANARY" in record.getMessage()]


def refusing(calls: Calls, action: str, error: ClientError) -> None:
    """Have AWS refuse one action."""
    calls.refused[action] = (error.response["Error"]["Code"], error.response["Error"]["Message"])


USES: dict[str, Callable[[SsmStore], object]] = {
    "ssm:GetParameter": lambda store: store.get("/a"),
    "ssm:PutParameter": lambda store: store.put("/a", SECRET, secure=True),
    "ssm:DeleteParameter": lambda store: store.delete("/a"),
    "ssm:GetParametersByPath": lambda store: store.list("/a"),
    "ssm:DescribeParameters": lambda store: store.secrets("/a"),
}


def failing(use: Callable[[], object]) -> str:
    """The message of a use that fails, after a look at what hangs on the error."""
    with pytest.raises(StoreError) as caught:
        use()
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize("action", USES)
def test_a_missing_permission_is_named(ssm: SsmStore, calls: Calls, action: str) -> None:
    refusing(calls, action, denial(action, parameter_arn("/a")))

    message = failing(lambda: USES[action](ssm))

    assert f"/a in SSM ({REGION}): AWS denies {action}; allow it in the policy of this process's role" in message


@pytest.mark.parametrize("action", USES)
@pytest.mark.parametrize(
    ("code", "text", "mend"),
    [
        ("AccessDeniedException", "no", "AWS denies ssm:"),
        ("AccessDeniedException", "not authorized to perform: {} with an explicit deny", "an explicit deny"),
        ("UnrecognizedClientException", "The security token is invalid. CANARY", "refuses the credentials"),
        ("InvalidSignatureException", "Signature expired: CANARY", "its clock is right"),
        ("ExpiredTokenException", "CANARY", "have expired; renew them"),
        ("OptInRequired", "CANARY", "enable it, or set another region"),
        ("ParameterLimitExceeded", "CANARY", "as many parameters as it may"),
        ("ParameterMaxVersionLimitExceeded", "CANARY", "100 versions"),
        ("ValidationException", "Value 'sk-CANARY' at 'value' failed to satisfy", r"refused it (ValidationException)"),
        ("InternalServerError", "CANARY", "failed on its side"),
        ("ThrottlingException", "Rate exceeded CANARY", "throttled the calls, also after several tries"),
        ("InvalidKeyId", "CANARY", "give the ARN of a symmetric key"),
        ("InvalidKeyId", f"{KEY} is pending deletion. CANARY", f"the KMS key {KEY} is about to be deleted"),
        (
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, or you are not allowed to access.",
            "does not exist in this region, or its policy does not let this process use it",
        ),
    ],
)
def test_a_refusal_is_explained_without_what_aws_quotes(
    ssm: SsmStore, calls: Calls, unhurried: Unhurried, action: str, code: str, text: str, mend: str
) -> None:
    calls.refused[action] = (code, text.format(action))

    assert mend in failing(lambda: USES[action](ssm))


@pytest.mark.parametrize(
    ("why", "whose"),
    [
        (
            "no identity-based policy allows the {} action",
            "the policy of this process's role and in the policy of the key",
        ),
        (
            "no resource-based policy allows the {} action",
            "allow it in the policy of the key {key}, which its owner sets",
        ),
        ("an explicit deny in a service control policy", "a policy forbids it by an explicit deny"),
    ],
)
@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"])
def test_a_missing_permission_of_the_key_is_told_from_one_of_the_parameter(
    ssm: SsmStore, calls: Calls, action: str, why: str, whose: str
) -> None:
    refusing(calls, "ssm:GetParameter", denial(action, KEY, why=why))

    message = failing(lambda: ssm.get("/a"))

    assert f"AWS denies {action}" in message
    assert whose.format(key=KEY) in message


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (NoCredentialsError(), "has no AWS credentials; give it some"),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "has no AWS credentials"),
        (CredentialRetrievalError(provider="sso", error_msg="CANARY"), "renew them"),
        (SSOTokenLoadError(profile_name="p", error_msg="CANARY"), "renew them"),
        (ProfileNotFound(profile="p"), "AWS_PROFILE or AWS_CONFIG_FILE names what does not exist"),
        (NoRegionError(), "no AWS region is set; write it into the URL"),
        (UnknownEndpointError(service_name="ssm", region_name="x"), "set another region"),
        (EndpointConnectionError(endpoint_url="https://u:CANARY@x"), "cannot be reached"),
        (ConnectTimeoutError(endpoint_url="https://u:CANARY@x"), "cannot be reached"),
        (ReadTimeoutError(endpoint_url="https://u:CANARY@x"), "cannot be reached"),
        (SSLError(endpoint_url="x", error=ValueError("CANARY")), "set AWS_CA_BUNDLE"),
        (ParamValidationError(report="Invalid type for parameter Value, value: CANARY"), "boto3 failed"),
        (ValueError("Invalid endpoint: CANARY"), "boto3 failed (ValueError)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_when_aws_does_not_answer_the_mend_is_given(ssm: SsmStore, calls: Calls, error: Exception, mend: str) -> None:
    def fail(_action: str, _request: Mapping[str, Any]) -> None:
        raise error

    calls.before = fail

    assert mend in failing(lambda: ssm.put("/a", SECRET, secure=True))


def test_throttling_is_waited_out(ssm: SsmStore, calls: Calls, unhurried: Unhurried) -> None:
    ssm.put("/a", SECRET, secure=True)
    calls.refused["ssm:GetParameter"] = ("ThrottlingException", "Rate exceeded")
    unhurried.after = (3, calls.refused.clear)

    assert ssm.get("/a") is not None
    assert unhurried.pauses == 3


def test_throttling_that_does_not_end_is_reported_after_five_tries(
    ssm: SsmStore, calls: Calls, unhurried: Unhurried
) -> None:
    calls.refused["ssm:GetParametersByPath"] = ("ThrottlingException", "Rate exceeded")

    assert "turn on the higher throughput of Parameter Store" in failing(lambda: ssm.list("/a"))
    assert unhurried.pauses == 4


def test_others_who_write_the_same_parameter_are_waited_for(ssm: SsmStore, calls: Calls, unhurried: Unhurried) -> None:
    calls.refused["ssm:PutParameter"] = ("TooManyUpdates", "…")
    assert "others write the same parameter" in failing(lambda: ssm.put("/a", SECRET, secure=True))
    assert unhurried.pauses == 5
    calls.refused.clear()

    assert ssm.put("/a", SECRET, secure=True).version == 1


def test_without_credentials_the_mend_is_given(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")

    assert "this process has no AWS credentials" in failing(lambda: open_store("ssm:").get("/a"))


def test_without_a_region_the_mend_is_given(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_REGION")
    aws.delenv("AWS_DEFAULT_REGION")

    assert "no AWS region is set" in failing(lambda: open_store("ssm:").get("/a"))


def test_an_endpoint_that_nobody_serves_is_reported(aws: pytest.MonkeyPatch, unhurried: Unhurried) -> None:
    aws.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:9")

    assert "AWS cannot be reached" in failing(lambda: open_store("ssm:").put("/a", SECRET, secure=True))


def test_an_endpoint_that_is_none_is_reported(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL_SSM", "not a url")

    assert "boto3 failed (ValueError)" in failing(lambda: open_store("ssm:").get("/a"))
