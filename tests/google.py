"""What tests of Google's providers share: service accounts, a token endpoint, and the vendor's own description."""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.genai import types

from tasks.contract import ProviderKind
from tests.providers import make_call
from tests.support import ManualClock
from workers.providers.base import Call, Fault, Reply, WireRequest, WireResponse
from workers.providers.gemini import GeminiProvider
from workers.providers.google_tokens import GoogleTokens
from workers.providers.vertex import VertexProvider

#: Tokens of an answer that a test does not care about.
USAGE: Mapping[str, object] = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
EMAIL = "extractor@acme-prod.iam.gserviceaccount.com"


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """One of several keys, made once per test run."""
    del number
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def key_file(*, key: int = 0, **changes: Any) -> str:
    """A service account's JSON as the vendor's console makes it; None takes a field out."""
    document = {
        "type": "service_account",
        "project_id": "acme-prod",
        "private_key_id": f"{key:040x}",
        "private_key": pem(rsa_key(key)),
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    } | changes
    return json.dumps({name: value for name, value in document.items() if value is not None})


def vertex_call(**changes: Any) -> Call:
    return make_call(**{"provider": "vertex", "model": "gemini-3.5-flash-lite", "secret": key_file()} | changes)


def verified_claims(assertion: str, *, key: int = 0) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a JWT, once its signature is verified with the public key."""
    signed, _, signature = assertion.rpartition(".")
    rsa_key(key).public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
    return header, claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class TokenEndpoint:
    """Answers like the vendor's token endpoint, in the order that a test plans; keeps what it was asked."""

    def __init__(self, *planned: WireResponse | Fault) -> None:
        self._planned = list(planned)
        self.requests: list[WireRequest] = []
        self.asked = asyncio.Event()
        #: Cleared, it holds back all answers.
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, request: WireRequest, *, name: str, timeout: float) -> WireResponse | Fault:  # noqa: ASYNC109 - the signature is `Fetch`'s
        del name
        assert timeout > 0
        self.requests.append(request)
        self.asked.set()
        await self.open.wait()
        return self._planned.pop(0) if self._planned else granted(f"ya29.token-{len(self.requests)}")

    @property
    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(request.content.decode())) for request in self.requests]


def granted(token: str, *, lifetime: object = 3_599) -> WireResponse:
    body = {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}
    return WireResponse(status=200, headers={}, content=json.dumps(body).encode())


def refused(status: int, error: object, **headers: str) -> WireResponse:
    body = {"error": error, "error_description": "Invalid JWT Signature."}
    return WireResponse(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        content=json.dumps(body).encode(),
    )


GEMINI = make_call(provider=ProviderKind.GEMINI, model="gemini-3.5-flash-lite")


def read(response: WireResponse, *, call: Call = GEMINI) -> Reply | Fault:
    clock = ManualClock()
    if call.connection.provider is ProviderKind.VERTEX:
        return VertexProvider(clock=clock, tokens=GoogleTokens(fetch=TokenEndpoint(), clock=clock)).read(call, response)
    return GeminiProvider(clock=clock).read(call, response)


def fault(response: WireResponse, *, call: Call = GEMINI) -> Fault:
    found = read(response, call=call)
    assert isinstance(found, Fault)
    return found


def generated(
    *parts: Mapping[str, Any], reason: object = "STOP", usage: Mapping[str, object] = USAGE
) -> dict[str, Any]:
    """The body of an answer; checked against the SDK's own type, so that these tests speak the vendor's language."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": reason, "index": 0}
    body = {
        "candidates": [{name: value for name, value in candidate.items() if value is not None}],
        "usageMetadata": dict(usage),
        "modelVersion": "gemini-3.5-flash-lite-001",
        "responseId": "resp-1",
    }
    types.GenerateContentResponse.model_validate(body)
    return body


def error(
    status: int, name: str, message: str = "words", *, reason: str | None = None, details: Sequence[Any] = ()
) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    found = [*([info] if reason else []), *details]
    return {"error": {"code": status, "message": message, "status": name, "details": found}}


def quota(*ids: str) -> dict[str, Any]:
    violations = [{"quotaMetric": "generativelanguage.googleapis.com/x", "quotaId": name} for name in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


@cache
def _schemas() -> Mapping[str, Any]:
    """Schemas of Vertex AI's own discovery document, as the vendor's client library carries it."""
    document = files("googleapiclient").joinpath("discovery_cache/documents/aiplatform.v1.json")
    schemas: Mapping[str, Any] = json.loads(document.read_text(encoding="utf-8"))["schemas"]
    return schemas


def discovery_problems(value: Any, schema: str) -> list[str]:
    """What in a JSON body a schema of the discovery document does not know or takes otherwise."""
    return list(_problems(value, {"$ref": schema}, ""))


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "any": object,
    # Values of these types are walked through; what comes here is not of the type.
    "array": (),
    "object": (),
}


def _problems(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _problems(value, _schemas()[schema["$ref"]], path)
    elif schema["type"] == "array" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, schema["items"], f"{path}[{index}]")
    elif schema["type"] == "object" and isinstance(value, Mapping):
        for key, item in value.items():
            if found := schema.get("properties", {}).get(key, schema.get("additionalProperties")):
                yield from _problems(item, found, f"{path}.{key}")
            else:
                yield f"{path}.{key}: unknown"
    elif not isinstance(value, _TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] == "integer"):
        yield f"{path}: not a {schema['type']}"
    elif value not in schema.get("enum", [value]):
        yield f"{path}: not one of the values"
