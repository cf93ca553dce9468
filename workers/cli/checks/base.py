"""The outcome of one check."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: Works, but is not as it should be in production, or soon will not.
    WARN = "warn"
    #: Jobs are refused, lost, or wait for ever.
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report."""

    name: str
    status: Status
    #: What was found.
    found: str
    #: What to do about it; empty when all is well.
    mend: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name=name, status=Status.OK, found=found)


def warn(name: str, found: str, mend: str) -> Check:
    """It works, but."""
    return Check(name=name, status=Status.WARN, found=found, mend=mend)


def fail(name: str, found: str, mend: str) -> Check:
    """It does not work."""
    return Check(name=name, status=Status.FAIL, found=found, mend=mend)
