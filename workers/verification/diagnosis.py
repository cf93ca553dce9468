"""What a fault of the test call means to the user, and the mend: one table, in `diagnoses/`. Pure.

The first row that matches counts. What holds for all providers stands in `diagnoses/*.toml`, the rows of one kind of
fault in one file, and the last of them matches always. What a provider says in its own way stands in
`diagnoses/kinds/KIND.toml` and goes before. Rows that are marked `first` go before all that are not.
In texts, `{vendor}` begins a sentence; `{model}`, `{address}`, `{host}` and `{place}` are the connection's; `{said}` is
what the fault itself says.
"""

import re
import tomllib
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from pydantic import BaseModel, ConfigDict, TypeAdapter

from config.connections import Connection
from tasks.contract import ProviderKind
from workers.providers.base import Fault, FaultKind
from workers.verification.names import address, host, place, vendor_of
from workers.verification.probe import passed
from workers.verification.report import Check, CheckName, Problem, Status

#: Failed check → what the provider's refusal proves all the same.
_PROVES: dict[CheckName, Collection[CheckName]] = {
    CheckName.ENDPOINT: (),
    CheckName.CREDENTIAL: (CheckName.ENDPOINT,),
    CheckName.PERMISSION: (CheckName.ENDPOINT, CheckName.CREDENTIAL),
    CheckName.MODEL: (CheckName.ENDPOINT, CheckName.CREDENTIAL),
    CheckName.STRUCTURED_OUTPUT: (CheckName.ENDPOINT, CheckName.CREDENTIAL, CheckName.PERMISSION, CheckName.MODEL),
}


class Row(BaseModel):
    """One row: conditions, then what they amount to. A condition that is left out matches everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: FaultKind
    #: The provider whose file it stands in; None for all.
    provider: ProviderKind | None = None
    #: Whether it goes before all rows that do not: mostly, since it speaks of what no provider has a say in.
    first: bool = False
    #: At least one of these, in lower case; `*` stands for any characters. Those in parentheses are our own.
    codes: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset()
    #: Whether an HTTP response came back at all.
    sent: bool | None = None
    #: Whether the connection has a `base_url`.
    own_address: bool | None = None
    #: Whether the connection names its region or location itself.
    own_place: bool | None = None
    #: Whether the connection has no credential.
    keyless: bool | None = None
    #: Regular expressions that the model's id must, and must not, match.
    model: str | None = None
    not_model: str | None = None
    #: The check that failed.
    check: CheckName
    problem: Problem
    #: What went well all the same; absent means what `check` rests on, if a response came back.
    proves: frozenset[CheckName] | None = None
    message: str
    mend: str

    def matches(self, fault: Fault, connection: Connection) -> bool:
        """Whether the row speaks of this fault on this connection."""
        code = (fault.code or "").lower()
        return (
            self.kind is fault.kind
            and self.provider in {None, connection.provider}
            and (not self.codes or (code != "" and any(fnmatchcase(code, pattern) for pattern in self.codes)))
            and (not self.statuses or fault.status in self.statuses)
            and self.sent in {None, fault.status is not None}
            and self.own_address in {None, connection.base_url is not None}
            and self.own_place in {None, bool(connection.region or connection.location)}
            and self.keyless in {None, connection.credential is None}
            and (self.model is None or re.search(self.model, connection.model) is not None)
            and (self.not_model is None or re.search(self.not_model, connection.model) is None)
        )


@lru_cache(maxsize=1)
def load_table() -> Sequence[Row]:
    """The table that ships with this version.

    Raises:
        FileNotFoundError: a kind of provider has no file.
        pydantic.ValidationError: a file is damaged.
    """
    folder = files("workers.verification").joinpath("diagnoses")
    general = [row for file in folder.iterdir() if file.name.endswith(".toml") for row in _rows(file, None)]
    own = [row for kind in ProviderKind for row in _rows(folder.joinpath("kinds", f"{kind.value}.toml"), kind)]
    return sorted([*own, *general], key=lambda row: not row.first)


def _rows(file: Traversable, provider: ProviderKind | None) -> tuple[Row, ...]:
    rows = tomllib.loads(file.read_text(encoding="utf-8")).get("rows", [])
    return TypeAdapter(tuple[Row, ...]).validate_python([{**row, "provider": provider} for row in rows])


def find_row(fault: Fault, connection: Connection) -> Row:
    """The first row that matches; every kind of fault ends with one that always does."""
    return next(row for row in load_table() if row.matches(fault, connection))


def diagnose(fault: Fault, connection: Connection, *, hint: str = "") -> tuple[Check, ...]:
    """All checks of a test call that came to a fault.

    Args:
        fault: what the call came to.
        connection: what was called.
        hint: added to the mend.
    """
    row = find_row(fault, connection)
    values = {
        "vendor": vendor_of(connection),
        "model": connection.model,
        "address": address(connection),
        "host": host(connection),
        "place": place(connection),
        "said": fault.message.removesuffix("."),
    }
    failed = Check(
        name=row.check,
        status=Status.FAILED,
        problem=row.problem,
        message=row.message.format_map(values) + _evidence(fault, row),
        mend="; ".join(filter(None, (row.mend.format_map(values), hint))),
    )
    proves = row.proves
    if proves is None:
        proves = frozenset(_PROVES[row.check] if fault.status is not None else ())
    return around(failed, connection, proves=proves)


def around(failed: Check, connection: Connection, *, proves: Collection[CheckName] = ()) -> tuple[Check, ...]:
    """A failed check with all the others: what is proven, and what could not be looked at."""
    return tuple(failed if name is failed.name else _other(name, failed, connection, proves) for name in CheckName)


def _other(name: CheckName, failed: Check, connection: Connection, proves: Collection[CheckName]) -> Check:
    if name in proves:
        return passed(name, connection)
    return Check(name=name, status=Status.SKIPPED, message=f"not known before {failed.name.value} is mended")


def _evidence(fault: Fault, row: Row) -> str:
    """What to tell the provider's support; left out where the message holds it already."""
    if fault.status is None or "{said}" in row.message:
        return ""
    code = None if fault.code == str(fault.status) else fault.code
    parts = (f"HTTP {fault.status}", code, f"request {fault.request_id}" if fault.request_id else None)
    return f" ({', '.join(filter(None, parts))})"
