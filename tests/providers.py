"""What tests of providers share: calls, responses, and a check of requests against a vendor's own types."""

import asyncio
import json
import types
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import SecretStr
from typing_extensions import is_typeddict

from config.catalogue import Catalogue, ModelFacts, load_catalogue
from config.connections import Connection
from config.credentials import Credential
from tasks.contract import ProviderKind, Tier, TokenUsage
from workers.providers.base import Call, Fault, Prompt, Reply, WireRequest, WireResponse

#: `Serve` starts a server on this machine and says its address.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]

CANARY = "sk-canary-5d41402abc4b2a76b9719d911017c592"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"facts": {"type": "array", "items": {"type": "string"}}},
    "required": ["facts"],
    "additionalProperties": False,
}


def make_call(
    *,
    provider: ProviderKind = ProviderKind.OPENAI,
    model: str = "gpt-6-luna",
    facts: ModelFacts | None = None,
    secret: str | None = CANARY,
    system: str = "Extract the facts.",
    user: str = "Ada lives in Paris.",
    tags: Mapping[str, str] | None = None,
    max_output_tokens: int = 1_200,
    tier: Tier | None = None,
    schema: Mapping[str, Any] = SCHEMA,
    **settings: Any,
) -> Call:
    """A call of one model; without `secret`, one without a credential. `settings` are the connection's."""
    connection = Connection(
        name="main", provider=provider, model=model, credential=None if secret is None else "main", **settings
    )
    catalogue: Catalogue = load_catalogue()
    return Call(
        prompt=Prompt(
            system=system,
            user=user,
            schema_name="extraction",
            schema=schema,
            version="extract-v1",
            max_output_tokens=max_output_tokens,
        ),
        connection=connection,
        credential=None if secret is None else Credential(secret=SecretStr(secret), version=1),
        model=facts or catalogue.find(provider, model, unverified=True),
        tags={} if tags is None else tags,
        tier=tier,
    )


def answer(body: object, *, status: int = 200, **headers: str) -> WireResponse:
    """A response with a JSON body; headers with `_` for `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(
        status=status,
        headers={
            "content-type": "application/json",
            "date": "Mon, 23 Nov 2026 12:00:00 GMT",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        content=content,
    )


def unknown_keys(value: object, declared: Any, path: str = "") -> list[str]:
    """Paths of keys that a vendor's TypedDict does not declare; pydantic's adapters ignore those.

    Of a union, the member counts that fits best: the fewest unknown keys, and those the deepest.
    """
    found = (_unknown(value, member, path) for member in _members(declared))
    return min(found, key=lambda paths: (len(paths), -sum(map(len, paths))))


def _members(declared: Any) -> Iterator[Any]:
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in {Annotated, Required, NotRequired}:
        yield from _members(arguments[0])
    elif origin in {Union, types.UnionType}:
        for argument in arguments:
            yield from _members(argument)
    else:
        yield declared


def _unknown(value: object, declared: Any, path: str) -> list[str]:
    origin = get_origin(declared)
    if isinstance(value, Mapping) and is_typeddict(declared):
        hints = get_type_hints(declared, include_extras=True)
        known = [unknown_keys(item, hints[key], f"{path}.{key}") for key, item in value.items() if key in hints]
        return [f"{path}.{key}" for key in value if key not in hints] + list(chain.from_iterable(known))
    if isinstance(value, list) and isinstance(origin, type) and issubclass(origin, Iterable):
        (item_type,) = get_args(declared)
        items = [unknown_keys(item, item_type, f"{path}[{index}]") for index, item in enumerate(value)]
        return list(chain.from_iterable(items))
    takes_any_key = isinstance(origin, type) and issubclass(origin, Mapping)
    return [path] if isinstance(value, list | Mapping) and not takes_any_key else []


class ScriptedClient:
    """A client whose responses are played, where sockets cannot be scripted."""

    def __init__(self, play: Callable[[WireRequest], WireResponse]) -> None:
        """`play` may raise what a client raises."""
        self._play = play

    async def exchange(self, request: WireRequest, *, most: int) -> WireResponse:
        """What is played, whatever its length."""
        del most
        return self._play(request)

    async def status(self, request: WireRequest) -> int:
        """Of what is played."""
        return self._play(request).status

    async def aclose(self) -> None:
        """There is nothing to close."""


class Echo:
    """A provider that sends the prompt's text to one URL and takes any answer."""

    kind = ProviderKind.OPENAI_COMPATIBLE

    def __init__(self, url: str, *, fault: Fault | None = None) -> None:
        self.url = url
        self.fault = fault
        self.ready = asyncio.Event()
        self.ready.set()
        self.read_responses: list[WireResponse] = []

    async def prepare(self, call: Call) -> WireRequest | Fault:
        await self.ready.wait()
        return self.fault or WireRequest(
            method="POST",
            url=self.url,
            headers={"authorization": f"Bearer {CANARY}", "content-type": "application/json"},
            content=call.prompt.user.encode(),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:  # noqa: ARG002 - the protocol's signature
        self.read_responses.append(response)
        return Reply(text=response.content.decode(), usage=TokenUsage(input=1))
