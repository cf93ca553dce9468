"""Credentials of Bedrock: the ARN of a role, or for development static keys as JSON. Pure; nothing is quoted."""

import json
import re
from collections.abc import Iterator
from typing import Any

from config.headers import fits_header

_ROLE = "arn:aws:iam::ACCOUNT:role/NAME"
_GIVE = f"give the ARN of a role, such as {_ROLE} (in the AWS console: IAM, Roles, the role, ARN)"
_KEYS = '{"access_key_id": …, "secret_access_key": …}'
_ARN = re.compile(r"arn:([^:]*):([^:]*):([^:]*):([^:]*):(.*)", re.DOTALL)
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_ROLE_NAME = re.compile(r"(?:[A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}")
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_]{16,128}")
#: Field of the key JSON → how AWS's own tools and consoles call it.
_SPELLINGS = {
    "access_key_id": ("AccessKeyId", "aws_access_key_id", "accessKeyId", "AWS_ACCESS_KEY_ID"),
    "secret_access_key": ("SecretAccessKey", "aws_secret_access_key", "secretAccessKey", "AWS_SECRET_ACCESS_KEY"),
    "session_token": ("SessionToken", "aws_session_token", "sessionToken", "AWS_SESSION_TOKEN"),
}
#: What an ARN of IAM or STS can name that is no role → what to do.
_NOT_ROLES = {
    "user": "is the ARN of a user, which nobody can assume; create a role whose trust policy names this worker, and "
    f"give its ARN, such as {_ROLE}",
    "group": f"is the ARN of a group; {_GIVE}",
    "policy": f"is the ARN of a policy; attach it to a role, and {_GIVE}",
    "instance-profile": f"is the ARN of an instance profile; give the ARN of the role in it, such as {_ROLE}",
    "root": f"is the ARN of a whole account; {_GIVE}",
    "assumed-role": f"is the ARN of a session; give the ARN of the role behind it: {_ROLE}, with 'iam' and without "
    "the session's name",
    "federated-user": f"is the ARN of a federated user; {_GIVE}",
}


#: What else was pasted → what to say; the first that fits.
_OTHER_THINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), words)
    for pattern, flags, words in (
        (
            r"(?:AKIA|ASIA)[A-Z0-9]{12,}$",
            0,
            f"is an access key's id without its secret; {_GIVE}, or for development {_KEYS}",
        ),
        (r"ABSK|bedrock-api-key-", 0, f"is a Bedrock API key, which this version does not use; {_GIVE}"),
        (
            r"\[|.*aws_access_key_id\s*=",
            re.IGNORECASE | re.DOTALL,
            f"is AWS's credentials file; {_GIVE}, or for development write it as {_KEYS}",
        ),
        (
            r"access key id",
            re.IGNORECASE,
            f"is the table that the console offers for download; {_GIVE}, or for development write it as {_KEYS}",
        ),
        (r"\d{12}$", 0, f"is an account's number; {_GIVE}"),
        (
            r"arn|.*:role/",
            re.DOTALL,
            f"is not a whole ARN: one has five colons, and two of them stand together behind 'iam'; {_GIVE}",
        ),
        (r"", 0, f"is not the ARN of a role; {_GIVE}"),
    )
)


def aws_problem(text: str, *, region: str | None) -> str | None:
    """Why a text cannot be a credential of Bedrock, with the mend; None when it may be one.

    Args:
        text: the credential.
        region: the connection's region, if it names one.
    """
    if match := _ARN.fullmatch(text):
        partition, service, place, account, resource = match.groups()
        no_role = _no_role(service, resource)
        return no_role or next(_role_problems(place, account, resource), None) or _partition_problem(partition, region)
    if text.startswith("{"):
        return _keys_problem(text)
    return next(words for pattern, words in _OTHER_THINGS if pattern.match(text))


def _no_role(service: str, resource: str) -> str | None:
    kind = resource.partition("/")[0].partition(":")[0]
    if service not in {"iam", "sts"}:
        return f"is an ARN, but not one of IAM; {_GIVE}"
    if kind in _NOT_ROLES:
        return _NOT_ROLES[kind]
    is_role = service == "iam" and kind == "role" and "/" in resource
    return None if is_role else f"is an ARN of IAM, but not of a role; {_GIVE}"


def _role_problems(place: str, account: str, resource: str) -> Iterator[str]:
    name = resource.partition("/")[2]
    if place:
        yield f"has a region in it, which roles have none of: two colons stand together behind 'iam'; {_GIVE}"
    if not re.fullmatch(r"\d{12}", account):
        yield f"has no account number of 12 digits in it; {_GIVE}"
    if re.search(r"\s", name):
        yield f"has a role name with a space in it, which no role has; copy the ARN, not its description: {_GIVE}"
    if not _ROLE_NAME.fullmatch(name):
        yield f"has a role name that AWS does not allow: 64 letters, digits and _+=,.@- at most; {_GIVE}"


def _partition_problem(partition: str, region: str | None) -> str | None:
    if not _PARTITION.fullmatch(partition):
        return f"begins with a partition that AWS does not have; it is mostly 'aws': {_GIVE}"
    if partition == "aws-cn":
        return f"is of AWS in China, where Bedrock is not offered; {_GIVE}"
    called = "aws-us-gov" if region is not None and region.startswith("us-gov-") else "aws"
    if partition != called:
        where = f"the connection's region {region}" if region else "the default region us-east-1"
        return (
            f"is of the partition {partition}, and {where} is of {called}: no role reaches from one to the other. "
            "Give a role of that partition, or set the connection's region to one of the role's"
        )
    return None


def _keys_problem(text: str) -> str | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return f"begins like JSON and is none; {_GIVE}, or for development {_KEYS}"
    return next(_document_problems(document), None)


def _document_problems(document: dict[str, Any]) -> Iterator[str]:
    if "client_email" in document:
        yield f"is a service account of Google, which is for --provider vertex; {_GIVE}"
    inner = [value for value in document.values() if isinstance(value, dict)]
    if _is_misspelt(document) or any(map(_is_misspelt, inner)):
        yield f"is JSON as AWS's own tools write it; write it as {_KEYS}, with session_token for temporary keys"
    if unknown := document.keys() - _SPELLINGS.keys():
        yield f"is JSON with {len(unknown)} fields that static keys do not have; write it as {_KEYS}"
    if missing := [field for field in ("access_key_id", "secret_access_key") if not document.get(field)]:
        yield f"lacks {' and '.join(missing)}; write it as {_KEYS}"
    if not all(isinstance(value, str) for value in document.values() if value is not None):
        yield f"has values that are not text; write it as {_KEYS}"
        return
    if not _ACCESS_KEY.fullmatch(document.get("access_key_id") or ""):
        yield "has an access_key_id that is none: 16 or more letters and digits, mostly beginning with AKIA"
    for field in ("secret_access_key", "session_token"):
        if document.get(field) and not fits_header(document[field]):
            yield f"has a {field} with spaces, line breaks or characters outside ASCII; copy it again, alone"
    if (document.get("access_key_id") or "").startswith("ASIA") and not document.get("session_token"):
        yield "is a temporary key (ASIA…) without its session_token; add it, or give a lasting key or a role's ARN"


def _is_misspelt(document: dict[str, Any]) -> bool:
    return any(spelling in document for spellings in _SPELLINGS.values() for spelling in spellings)
