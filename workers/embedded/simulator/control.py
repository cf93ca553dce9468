"""The simulator's own endpoints below `/_sim`, for whoever runs it: loopback only.

| | |
|---|---|
| `GET /_sim` | base URLs of all vendors |
| `GET /_sim/books?entries=N` | totals, worst windows, and the latest N requests (1,000 unless told) |
| `DELETE /_sim/books` | new books, full buckets, an empty prompt cache |
| `GET`, `POST`, `DELETE /_sim/faults` | rules in force; add one (`FaultRule` as JSON); clear all |
| `DELETE /_sim/faults/ID` | clear one |
| `GET`, `POST /_sim/accounts` | accounts by fingerprint; open or replace one (`Account` as JSON) |
| `PUT /_sim/latency` | `{"low": seconds, "high": seconds}` |
| `PUT /_sim/batches` | `{"seconds": seconds}`: how long batches take from now on, those that are under way too |
| `POST /_sim/batches/end` | end those under way: `{"done": N, "rest": "expired"}` answers the first N of each |
"""

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.batches import Result
from workers.embedded.simulator.books import BooksReport
from workers.embedded.simulator.core import Core, Latency
from workers.embedded.simulator.exchange import Incoming, Outgoing
from workers.embedded.simulator.faults import FaultRule
from workers.embedded.simulator.wire import Mount

ROOT: Final = "/_sim"
ENTRIES: Final = 1_000
BOOKS: Final = TypeAdapter(BooksReport)


def is_loopback(address: str | None) -> bool:
    """Whether a peer is on this machine."""
    try:
        return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def base_urls(mounts: Sequence[Mount], url: str) -> dict[str, str]:
    """What to configure as base URL, by vendor."""
    return {mount.name: url + mount.base for mount in mounts}


class Control:
    """Answers `/_sim`."""

    def __init__(self, core: Core, mounts: Sequence[Mount]) -> None:
        self._core = core
        self._mounts = mounts
        self._routes: Mapping[tuple[str, str], Callable[[Incoming], Outgoing]] = {
            ("GET", ""): self._index,
            ("GET", "/books"): self._books,
            ("DELETE", "/books"): self._reset,
            ("GET", "/faults"): self._faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
            ("GET", "/accounts"): self._accounts,
            ("POST", "/accounts"): self._put_account,
            ("PUT", "/latency"): self._set_latency,
            ("PUT", "/batches"): self._set_batches,
            ("POST", "/batches/end"): self._end_batches,
        }

    def serve(self, incoming: Incoming, peer: str | None) -> Outgoing:
        """Answer one control request."""
        # A page in the operator's browser is on loopback too, but its requests have an origin.
        if not is_loopback(peer) or "Origin" in incoming.headers:
            return _error(HTTPStatus.FORBIDDEN, "the control endpoints answer callers on this machine only")
        path = incoming.path.removeprefix(ROOT).rstrip("/")
        handler = self._routes.get((incoming.method, path))
        if handler is None and incoming.method == "DELETE" and path.startswith("/faults/"):
            return self._clear_fault(path.removeprefix("/faults/"))
        if handler is None:
            return _error(HTTPStatus.NOT_FOUND, f"no control endpoint {incoming.method} {incoming.path}")
        try:
            return handler(incoming)
        except ValidationError as error:
            details = error.errors(include_input=False, include_url=False, include_context=False)
            return _error(HTTPStatus.BAD_REQUEST, "the body does not fit", details=details)

    def _index(self, incoming: Incoming) -> Outgoing:
        host = incoming.headers.get("Host", "")
        return _json({"simulator": True, "base_urls": base_urls(self._mounts, f"http://{host}")})

    def _books(self, incoming: Incoming) -> Outgoing:
        asked = parse_qs(incoming.query).get("entries", [str(ENTRIES)])[0]
        report = self._core.report(entries=int(asked) if asked.isdecimal() else ENTRIES)
        return Outgoing(status=HTTPStatus.OK, body=BOOKS.dump_json(report))

    def _reset(self, _: Incoming) -> Outgoing:
        self._core.reset()
        return _json({"reset": True})

    def _faults(self, _: Incoming) -> Outgoing:
        rules = [
            {"id": number, "struck": struck, **rule.model_dump(mode="json", exclude_none=True)}
            for number, rule, struck in self._core.faults
        ]
        return _json({"faults": rules})

    def _add_fault(self, incoming: Incoming) -> Outgoing:
        return _json({"id": self._core.faults.add(FaultRule.model_validate_json(incoming.body))})

    def _clear_faults(self, _: Incoming) -> Outgoing:
        return _json({"cleared": self._core.faults.clear()})

    def _clear_fault(self, number: str) -> Outgoing:
        if number.isdecimal() and self._core.faults.clear(int(number)):
            return _json({"cleared": True})
        return _error(HTTPStatus.NOT_FOUND, "no fault rule with this id is in force")

    def _accounts(self, _: Incoming) -> Outgoing:
        accounts = [
            {"key": account.fingerprint, **account.model_dump(mode="json", exclude={"key"}, exclude_none=True)}
            for account in self._core.accounts
        ]
        return _json({"accounts": accounts})

    def _put_account(self, incoming: Incoming) -> Outgoing:
        account = Account.model_validate_json(incoming.body)
        self._core.accounts.put(account)
        return _json({"key": account.fingerprint})

    def _set_latency(self, incoming: Incoming) -> Outgoing:
        self._core.latency = Latency.model_validate_json(incoming.body)
        return _json({"latency": self._core.latency.model_dump()})

    def _set_batches(self, incoming: Incoming) -> Outgoing:
        self._core.batches.seconds = BatchTime.model_validate_json(incoming.body).seconds
        return _json({"seconds": self._core.batches.seconds})

    def _end_batches(self, incoming: Incoming) -> Outgoing:
        wanted = BatchEnd.model_validate_json(incoming.body)
        return _json({"ended": self._core.batches.end(done=wanted.done, rest=Result(wanted.rest))})


class BatchTime(BaseModel):
    """How long batches take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Annotated[float, Field(ge=0)]


class BatchEnd(BaseModel):
    """How batches end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Requests of each that are answered, from the first on; absent means all.
    done: Annotated[int, Field(ge=0)] | None = None
    #: What becomes of the others.
    rest: Literal["expired", "cancelled"] = "expired"


def _json(document: Mapping[str, Any], status: int = HTTPStatus.OK) -> Outgoing:
    return Outgoing(status=status, body=json.dumps(document, default=str).encode())


def _error(status: int, message: str, **more: Any) -> Outgoing:
    return _json({"error": message, **more}, status)
