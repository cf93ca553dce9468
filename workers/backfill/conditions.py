"""Conditions on earlier results, such as `prompt_version<2, model!=gpt-6-luna`. A small language, parsed and never run.

    conditions = condition { ("," | "and") condition }
    condition  = field operator value
    field      = prompt_version | schema_version | provider | model | status
    operator   = = | != | < | <= | > | >=          the last four for versions alone

Versions are numbers with parts, `2` or `2.1`, and 2.10 comes after 2.9. What follows a dash says how a prompt was
used, not which it is: `1-packed` is version 1. What produced nothing, because it failed, has no version: it is older
than any, and has no provider and no model.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workers.backfill.errors import BackfillError

VERSIONS: Final = ("prompt_version", "schema_version")
NAMES: Final = ("provider", "model", "status")
FIELDS: Final = (*VERSIONS, *NAMES)

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION: Final = re.compile(r"\s*(?P<field>[A-Za-z_]+)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>\S+)\s*")
_BETWEEN: Final = re.compile(r",|(?<=\s)and(?=\s)")
_VERSION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})*)(?:-.*)?")

#: Comes before every version.
_NONE: Final[tuple[int, ...]] = ()


class ConditionError(BackfillError):
    """What follows `--where` is no condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One of them."""

    field: str
    operator: str
    value: str

    def holds(self, said: str | None) -> bool:
        """Whether it holds for what a result says in this field; None: it says nothing."""
        compare = _OPERATORS[self.operator]
        if self.field in VERSIONS:
            return compare(_version(said), _version(self.value))
        return compare(said, self.value)


@dataclass(frozen=True, slots=True)
class Conditions:
    """All of which have to hold together."""

    conditions: Sequence[Condition]

    def hold(self, fields: Mapping[str, str | None]) -> bool:
        """Whether they hold for one provenance of a result, with its status."""
        return all(condition.holds(fields.get(condition.field)) for condition in self.conditions)


def parse_conditions(text: str) -> Conditions:
    """Read conditions.

    Raises:
        ConditionError: they are none; says which and why.
    """
    return Conditions([_parsed(part) for part in _BETWEEN.split(text)])


def _parsed(part: str) -> Condition:
    found = _CONDITION.fullmatch(part)
    if found is None:
        raise ConditionError(
            f"'{part.strip()}' is no condition; write a field, an operator and a value, such as prompt_version<2 or "
            "model=gpt-6-luna, and a comma or 'and' between several"
        )
    name, sign, value = found["field"], found["operator"].replace("==", "="), found["value"].strip("'\"")
    if name not in FIELDS:
        raise ConditionError(f"'{name}' is no field of a result; choose from {', '.join(FIELDS)}")
    if name in NAMES and sign not in {"=", "!="}:
        raise ConditionError(f"{name} has no order: compare it by = or !=, not by {sign}")
    if name in VERSIONS and _VERSION.fullmatch(value) is None:
        raise ConditionError(f"'{value}' is no version; write a number such as 2 or 2.1")
    if not value:
        raise ConditionError(f"{name} is compared with nothing; write a value behind {sign}")
    return Condition(field=name, operator=sign, value=value)


def _version(text: str | None) -> tuple[int, ...]:
    """The numbers of a version; of what is none, none."""
    found = _VERSION.fullmatch(text or "")
    if found is None:
        return _NONE
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
