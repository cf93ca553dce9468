"""What AWS's errors mean, and the mend.

Nothing of AWS's own text is repeated but the names of actions and keys: a refused value is quoted in it.
"""

import re
from http import HTTPStatus

from botocore.exceptions import (
    ClientError,
    ConfigNotFound,
    ConnectionError,  # noqa: A004 - botocore's own, of which most of its network errors are
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnknownEndpointError,
)

_MISSING_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9]+:[A-Za-z]+)")
_KMS_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:[a-z]+/[A-Za-z0-9/_-]+")

_NO_CREDENTIALS = (
    "this process has no AWS credentials; give it some, such as an instance or task role, AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_BAD_CREDENTIALS = (
    "AWS refuses the credentials of this process; give it valid ones for this partition (`aws sts get-caller-identity` "
    "tells), and see that its clock is right"
)
_EXPIRED = (
    "the AWS credentials of this process have expired; renew them (`aws sso login`, or a new session of the role)"
)
_NO_SESSION = f"{_EXPIRED}; or their source, which AWS_PROFILE or the role names, does not give any"
_NO_PROFILE = "AWS_PROFILE or AWS_CONFIG_FILE names what does not exist; set it to a profile of this machine"
_THROTTLED = (
    "AWS throttled the calls, also after several tries; do less at once, or turn on the higher throughput of Parameter "
    "Store (docs/store.md)"
)
_AWS_FAILED = "AWS failed on its side; try again in a while"

_CODES: dict[str, str] = {
    **dict.fromkeys(
        (
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "InvalidAccessKeyId",
        ),
        _BAD_CREDENTIALS,
    ),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(
        (
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "LimitExceededException",
        ),
        _THROTTLED,
    ),
    "TooManyUpdates": "others write the same parameter at this moment; try again",
    "OptInRequired": "the AWS account may not use this service or region; enable it, or set another region",
    "ParameterLimitExceeded": "the AWS account has as many parameters as it may in this region (10,000 standard ones, "
    "100,000 advanced ones); delete some, or ask AWS for more",
    "ParameterMaxVersionLimitExceeded": "the parameter has 100 versions and the oldest has a label, which keeps it; "
    "remove the label",
    "HierarchyLevelLimitExceededException": "the path has more than 15 levels; use a shorter prefix in BYOM_STORE_URL",
    "HierarchyTypeMismatchException": "the parameter is of another kind (String or SecureString), which cannot change; "
    "delete it first",
    "UnsupportedParameterType": "the parameter is of a kind that this software does not write; delete it first",
    "ParameterPatternMismatchException": "the parameter has an AllowedPattern of somebody else; delete it first",
    "UnknownOperationException": "what answers there is not AWS; see AWS_ENDPOINT_URL",
    "ParameterVersionNotFound": "the version is no longer there; read it again",
}

_UNREACHABLE = (
    "AWS cannot be reached; see the region, the network (a VPC without internet needs endpoints for ssm, kms, sts) and "
    "AWS_ENDPOINT_URL"
)

#: What boto3 raises when AWS gave no answer at all; the first that fits counts.
_UNANSWERED: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((NoCredentialsError, PartialCredentialsError, NoAuthTokenError), _NO_CREDENTIALS),
    ((CredentialRetrievalError, SSOError, LoginError, TokenRetrievalError), _NO_SESSION),
    ((ProfileNotFound, ConfigNotFound), _NO_PROFILE),
    ((NoRegionError,), "no AWS region is set; write it into the URL (ssm://eu-central-1), or set AWS_REGION"),
    ((UnknownEndpointError, InvalidRegionError), "AWS has no such service or region; set another region"),
    ((SSLError,), "the server's certificate is not trusted; behind a proxy that breaks TLS set AWS_CA_BUNDLE"),
    ((ProxyConnectionError,), "the proxy of this machine does not answer; see HTTPS_PROXY and NO_PROXY"),
    ((ConnectionError, HTTPClientError), _UNREACHABLE),
)

#: What is wrong with a KMS key, by a mark in the code or in the message: SSM passes on the words of KMS only.
_KEY_TROUBLES: tuple[tuple[str, str], ...] = (
    ("DisabledException", "is disabled; its owner must enable it"),
    ("is disabled", "is disabled; its owner must enable it"),
    ("pending deletion", "is about to be deleted; its owner must cancel that"),
    ("pending import", "has no key material; its owner must import it"),
    ("KMSInvalidState", "cannot be used in its present state; its owner must look at it"),
    ("KeyUnavailable", "cannot be used at the moment; try again"),
    ("InvalidKeyUsage", "is not for encryption; a symmetric key for ENCRYPT_DECRYPT is needed"),
    ("does not exist", "does not exist in this region, or its policy does not let this process use it"),
    ("NotFoundException", "does not exist in this region, or its policy does not let this process use it"),
    ("ciphertext refers to", "does not exist any more, or its policy does not let this process decrypt (kms:Decrypt)"),
)


def code_of(error: BaseException) -> str:
    """AWS's code of an error; empty when AWS did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def missing_action(error: Exception, otherwise: str) -> str | None:
    """The IAM action that was denied, such as `ssm:PutParameter`; None when nothing was denied.

    Args:
        error: of boto3.
        otherwise: the action that was called, for an answer that does not name the one it lacks.
    """
    if code_of(error) not in {"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"}:
        return None
    found = _MISSING_ACTION.search(_text(error))
    return found.group(1) if found else otherwise


def explain(error: Exception, *, action: str, kms_key: str | None = None) -> str:
    """What an error of boto3 means, and the mend, in one clause.

    Args:
        error: a `ClientError` or `BotoCoreError`.
        action: what was called, as IAM names it, such as `ssm:PutParameter`.
        kms_key: the customer's key that was asked for, if any.
    """
    if not isinstance(error, ClientError):
        return _unanswered(error)
    code, text = code_of(error), _text(error)
    found = _KMS_KEY.search(text)
    key = found.group(0) if found else kms_key
    about_key = key is not None or code == "InvalidKeyId" or "ciphertext refers to" in text
    if code != "AccessDeniedException" or not _MISSING_ACTION.search(text):
        for mark, trouble in _KEY_TROUBLES:
            if about_key and (mark in code or mark in text):
                return f"the KMS key {key or 'of the value'} {trouble}"
    if (lacking := missing_action(error, action)) is not None:
        return _denied(lacking, text, key)
    if code == "InvalidKeyId":
        return f"AWS does not take {key or 'the KMS key of the value'} as a KMS key; give the ARN of a symmetric key"
    if code in _CODES:
        return _CODES[code]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (
        _AWS_FAILED
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else f"AWS refused it ({code[:64] or f'status {status}'})"
    )


def _denied(action: str, text: str, key: str | None) -> str:
    whose = "the policy of this process's role"
    if action.startswith("kms:"):
        whose = f"{whose} and in the policy of the key {key or 'of the value'}"
        if "resource-based policy" in text:
            whose = f"the policy of the key {key or 'of the value'}, which its owner sets"
    if "explicit deny" in text:
        return (
            f"AWS denies {action}: a policy forbids it by an explicit deny; remove that, or let it spare this process"
        )
    return f"AWS denies {action}; allow it in {whose} (docs/store.md has the statements)"


def _unanswered(error: Exception) -> str:
    for kinds, meaning in _UNANSWERED:
        if isinstance(error, kinds):
            return meaning
    return f"boto3 failed ({type(error).__name__}); see the AWS_* variables and boto3's own configuration"


def _text(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""
