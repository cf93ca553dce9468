"""Credentials of Bedrock: the ARN of a role, or for development static keys as JSON. Pure; nothing is quoted."""

import json
import re
from typing import Any

_ROLE = "arn:aws:iam::ACCOUNT:role/NAME"
_GIVE = f"give the ARN of a role, such as {_ROLE} (in the AWS console: IAM, Roles, the role, ARN)"
_KEYS = '{"access_key_id": …, "secret_access_key": …}'
_ARN = re.compile(r"arn:([^:]*):([^:]*):([^:]*):([^:]*):(.*)", re.DOTALL)
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_ROLE_NAME = re.compile(r"(?:[A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}")
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_]{16,128}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
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


def aws_problem(text: str, *, region: str | None) -> str | None:
    """Why a text cannot be a credential of Bedrock, with the mend; None when it may be one.

    Args:
        text: the credential.
        region: the connection's region, if it names one.
    """
    if match := _ARN.fullmatch(text):
        return _arn_problem(*match.groups(), region=region)
    if text.startswith("{"):
        return _keys_problem(text)
    if re.fullmatch(r"(?:AKIA|ASIA)[A-Z0-9]{12,}", text):
        return f"is an access key's id without its secret; {_GIVE}, or for development {_KEYS}"
    if text.startswith(("ABSK", "bedrock-api-key-")):
        return f"is a Bedrock API key, which this version does not use; {_GIVE}"
    if re.search(r"aws_access_key_id\s*=", text, re.IGNORECASE) or text.startswith("["):
        return f"is AWS's credentials file; {_GIVE}, or for development write it as {_KEYS}"
    if text.lower().startswith("access key id"):
        return f"is the table that the console offers for download; {_GIVE}, or for development write it as {_KEYS}"
    if re.fullmatch(r"\d{12}", text):
        return f"is an account's number; {_GIVE}"
    if text.startswith("arn") or ":role/" in text:
        return f"is not a whole ARN: one has five colons, and two of them stand together behind 'iam'; {_GIVE}"
    return f"is not the ARN of a role; {_GIVE}"


def _arn_problem(partition: str, service: str, place: str, account: str, resource: str, *, region: str | None) -> str | None:
    kind = resource.partition("/")[0].partition(":")[0]
    if service not in {"iam", "sts"}:
        return f"is an ARN, but not one of IAM; {_GIVE}"
    if kind in _NOT_ROLES:
        return _NOT_ROLES[kind]
    if kind != "role" or "/" not in resource or service == "sts":
        return f"is an ARN of IAM, but not of a role; {_GIVE}"
    if place:
        return f"has a region in it, which roles have none of: two colons stand together behind 'iam'; {_GIVE}"
    if not re.fullmatch(r"\d{12}", account):
        return f"has no account number of 12 digits in it; {_GIVE}"
    name = resource.partition("/")[2]
    if re.search(r"\s", name):
        return f"has a role name with a space in it, which AWS does not allow; copy the ARN, not the description: {_GIVE}"
    if not _ROLE_NAME.fullmatch(name):
        return f"has a role name that AWS does not allow: 64 letters, digits and _+=,.@- at most; {_GIVE}"
    return _partition_problem(partition, region)


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
    if '"client_email"' in text:
        return f"is a service account of Google, which is for --provider vertex; {_GIVE}"
    inner = [value for value in document.values() if isinstance(value, dict)]
    flat = {**document, **(inner[0] if len(inner) == 1 else {})}
    if _misspelt(flat) or (inner and not _SPELLINGS.keys().isdisjoint(flat)):
        return f"is JSON as AWS's own tools write it; write it as {_KEYS}, with session_token for temporary keys"
    if unknown := document.keys() - _SPELLINGS.keys():
        return f"is JSON with {len(unknown)} fields that static keys do not have; write it as {_KEYS}"
    return _values_problem(document)


def _misspelt(document: dict[str, Any]) -> bool:
    return any(spelling in document for spellings in _SPELLINGS.values() for spelling in spellings)


def _values_problem(document: dict[str, Any]) -> str | None:
    missing = [field for field in ("access_key_id", "secret_access_key") if not document.get(field)]
    if missing:
        return f"lacks {' and '.join(missing)}; write it as {_KEYS}"
    if not all(isinstance(value, str) for value in document.values() if value is not None):
        return f"has values that are not text; write it as {_KEYS}"
    if not _ACCESS_KEY.fullmatch(document["access_key_id"]):
        return "has an access_key_id that is none: 16 or more letters and digits, mostly beginning with AKIA"
    for field in ("secret_access_key", "session_token"):
        if document.get(field) and not _HEADER_SAFE.fullmatch(document[field]):
            return f"has a {field} with spaces, line breaks or characters outside ASCII; copy it again, alone"
    if document["access_key_id"].startswith("ASIA") and not document.get("session_token"):
        return "is a temporary key (ASIA…) without its session_token; add it, or give a lasting key or a role's ARN"
    return None
