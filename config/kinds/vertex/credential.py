"""A Google service account's JSON key file. Pure; nothing here quotes the file."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_HOW = (
    "create one in the Google Cloud console: IAM & Admin, Service accounts, the account, Keys, Add key, JSON; give the "
    "whole file with --key-file"
)
_PEM = re.compile(r"-----BEGIN (?:RSA )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+\n-----END (?:RSA )?PRIVATE KEY-----\n?")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,128}@[A-Za-z0-9.-]{1,253}")
_PATH = re.compile(r"[~./\\\w:-][\w./\\ ~:-]*\.(?:json|p12|pem)", re.IGNORECASE)
#: The `type` of other key files → what they are.
_OTHER_TYPES = {
    "authorized_user": "your own login (gcloud auth application-default login)",
    "external_account": "a workload identity federation's configuration",
    "external_account_authorized_user": "a workforce identity's login",
    "impersonated_service_account": "an impersonation of a service account",
    "gdch_service_account": "an account of Google Distributed Cloud",
}
#: Fields that a service account's file must have; `type` and `token_uri` have checks of their own.
_REQUIRED = ("client_email", "private_key", "private_key_id", "project_id")


def service_account_problem(text: str) -> str | None:
    """Why a text cannot be a service account's key file, with the mend; None when it may be one."""
    if not text.startswith("{"):
        return _not_json(text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return f"is not JSON: it begins like a key file and is cut off or changed; {_HOW}"
    return next(_document_problems(document), None)


def _document_problems(document: dict[str, Any]) -> Iterator[str]:
    if "installed" in document or "web" in document:
        yield f"is an OAuth client, which lets people sign in; Vertex AI needs a service account's key: {_HOW}"
    kind = document.get("type")
    if kind != "service_account":
        what = _OTHER_TYPES.get(kind) if isinstance(kind, str) else None
        yield f"is {what or 'no key file'}, not the key of a service account: {_HOW}"
    if missing := [field for field in _REQUIRED if not _is_text(document.get(field))]:
        yield f"lacks {' and '.join(missing)}; give the whole file as Google made it"
        return
    if document.get("token_uri") != _TOKEN_URI:
        yield (
            f"names a token_uri other than {_TOKEN_URI}; signed claims are sent to no other address, so give the file "
            "as Google made it"
        )
    if document.get("universe_domain", "googleapis.com") != "googleapis.com":
        yield "belongs to another cloud than googleapis.com, which this version cannot call"
    if not _EMAIL.fullmatch(document["client_email"]):
        yield "has a client_email that is no address; give the whole file as Google made it"
    if not _KEY_ID.fullmatch(document["private_key_id"]):
        yield "has a private_key_id that is none; give the whole file as Google made it"
    if "\\n" in document["private_key"]:
        yield (
            "has a private_key in which line breaks were turned into the two characters '\\n'; give the file as it "
            "is, with --key-file, without passing it through a shell"
        )
    if not _PEM.fullmatch(document["private_key"]):
        yield "has a private_key that is cut off or changed; give the whole file as Google made it"


def _not_json(text: str) -> str:
    if text.startswith("AIza"):
        return (
            f"is an API key; Vertex AI needs a service account's JSON. Use --provider gemini with this key, or {_HOW}"
        )
    if text.startswith("ya29."):
        return f"is an access token, which ends within the hour; Vertex AI needs a service account's JSON: {_HOW}"
    if "PRIVATE KEY-----" in text:
        return f"is a private key alone; Vertex AI needs the whole JSON file around it: {_HOW}"
    if "\n" not in text and _PATH.fullmatch(text):
        return "is the path of a file; give what it holds, with --key-file PATH"
    if _is_base64_of_json(text):
        return "is a key file in base64; decode it first (base64 --decode), or give the file with --key-file"
    return f"is not JSON; Vertex AI needs a service account's key file: {_HOW}"


def _is_base64_of_json(text: str) -> bool:
    try:
        return base64.b64decode("".join(text.split()), validate=True).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
