"""The list of models that a provider keeps itself, where it keeps one: free, and with the days on which models end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

from tasks.contract import TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply, WireRequest, WireResponse
from workers.providers.faults import safe_word
from workers.providers.listing import Listing
from workers.providers.registry import dialect_of
from workers.providers.transport import Transport
from workers.providers.wire import decode, objects, part
from workers.verification.names import same_model

#: Pages that are read at most; the largest list has some hundred models, and pages hold up to a thousand.
_PAGES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """One model, as its provider lists it."""

    id: str
    #: The day on which the provider switches it off, as far as announced.
    ends: date | None = None
    #: Whether the provider speaks of it as on its way out.
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModels:
    """A provider's list."""

    models: tuple[LiveModel, ...]
    #: Whether what it lacks cannot be called: Azure lists what could be deployed, gateways serve more than they list.
    certain: bool

    @property
    def dated(self) -> bool:
        """Whether it says at all when models end."""
        return any(model.ends for model in self.models)

    def find(self, model: str) -> LiveModel | None:
        """The entry of a model: the one of its very name, else a dated build of it that ends last."""
        exact = next((entry for entry in self.models if entry.id == model), None)
        if exact is not None:
            return exact
        builds = [entry for entry in self.models if same_model(model, entry.id)]
        return max(builds, key=lambda entry: entry.ends or date.max, default=None)


async def live_models(
    call: Call,
    *,
    provider: Provider,
    transport: Transport,
    timeout: float,  # noqa: ASYNC109 - bounds each request
) -> LiveModels | Fault | None:
    """The list that a call's credential sees, or why there is none; None where the provider keeps none.

    Args:
        call: names connection and credential; its prompt is not sent.
        provider: the connection's.
        transport: sends the requests.
        timeout: seconds for each page.
    """
    listing = dialect_of(provider.kind).listing
    if listing is None:
        return None
    models: list[LiveModel] = []
    cursor = ""
    for _ in range(_PAGES):
        sent = await transport.send(_Page(provider, listing, cursor), call, timeout=timeout)
        if isinstance(sent.answer, Fault):
            return sent.answer
        page = json.loads(sent.answer.text)
        models += [model for entry in objects(page.get(listing.holds)) if (model := _read(entry, call)) is not None]
        following = listing.cursor(page)
        if not isinstance(following, str) or not following:
            return LiveModels(models=tuple(models), certain=listing.certain)
        cursor = following
    return Fault(kind=FaultKind.MALFORMED, message=f"{provider.kind.value} lists its models without end.")


class _Page:
    """Asks for a page of the list as its provider asks for an answer: the same address, headers and errors."""

    def __init__(self, provider: Provider, listing: Listing, cursor: str) -> None:
        self.kind = provider.kind
        self._provider = provider
        self._listing = listing
        self._cursor = cursor

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The provider's own request, turned to the list."""
        prepared = await self._provider.prepare(call)
        if isinstance(prepared, Fault):
            return prepared
        url = prepared.url.rpartition(self._listing.mark)[0] + self._listing.path
        if self._cursor:
            url += f"&{self._listing.page}={quote(self._cursor, safe='')}"
        headers = {name: value for name, value in prepared.headers.items() if name != "content-type"}
        return replace(prepared, method="GET", url=url, headers=headers, content=b"")

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """The page as JSON text; errors as the provider reads them."""
        if response.status != 200:  # noqa: PLR2004 - the one status with a list
            return self._provider.read(call, response)
        body = decode(response.content)
        if body is None or not isinstance(body.get(self._listing.holds), list):
            message = f"{self.kind.value} answered 200: this is not a list of models."
            return Fault(kind=FaultKind.ENDPOINT_INVALID, message=message, status=response.status)
        return Reply(text=json.dumps(body), usage=TokenUsage())


def _read(entry: Mapping[str, Any], call: Call) -> LiveModel | None:
    """One entry, in whichever of the providers' formats; None for what does not generate text or has no sane name."""
    name = entry.get("name") if "supportedGenerationMethods" in entry else entry.get("id")
    name = safe_word(name, call, limit=256)
    methods = entry.get("supportedGenerationMethods")
    if name is None or (isinstance(methods, list) and "generateContent" not in methods):
        return None
    ends = entry.get("shutdown_date") or entry.get("retires_at") or part(entry, "deprecation").get("inference")
    return LiveModel(
        id=name.removeprefix("models/"),
        ends=_day(ends),
        deprecated=entry.get("lifecycle") in {"deprecated", "retired"},
    )


def _day(value: object) -> date | None:
    """A day, written as a date, an instant or a Unix time."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).date()
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        pass
    return None
