"""Until when a model can be called. Pure."""

from datetime import date

from config.catalogue import ModelFacts
from config.connections import Connection
from workers.providers.base import Fault
from workers.verification.live_models import LiveModels
from workers.verification.names import vendor_of
from workers.verification.report import Check, CheckName, Status

#: Days before the end of a model at which to speak of it.
NOTICE_DAYS = 90

_MEND = "choose another model in time; see `byom models`"


def lifecycle(connection: Connection, facts: ModelFacts, live: LiveModels | Fault | None, *, today: date) -> Check:
    """Until when the provider serves a model that has just answered: by its own list, else by the catalogue.

    Args:
        connection: what was called.
        facts: the catalogue's.
        live: the provider's list, why it could not be read, or None where it keeps none.
        today: in UTC.
    """
    entry = live.find(connection.model) if isinstance(live, LiveModels) else None
    ends = entry.ends if entry and entry.ends else facts.ends
    if ends is not None:
        return _until(ends, connection.model, by="its provider's list" if entry else "the catalogue", today=today)
    if entry is not None and entry.deprecated:
        return _warning(f"{vendor_of(connection)} has deprecated {connection.model}; no day is named yet")
    if entry is None and not facts.verified:
        message = f"{vendor_of(connection)} does not say until when it serves {connection.model}"
        return Check(name=CheckName.LIFECYCLE, status=Status.SKIPPED, message=message)
    return Check(name=CheckName.LIFECYCLE, status=Status.OK, message=f"no end of {connection.model} is announced")


def _until(ends: date, model: str, *, by: str, today: date) -> Check:
    left = (ends - today).days
    if left < 0:
        return _warning(f"by {by}, {model} was to be switched off on {ends}, and may stop answering any day")
    if left <= NOTICE_DAYS:
        return _warning(f"by {by}, {model} is switched off on {ends}, in {left} days")
    return Check(name=CheckName.LIFECYCLE, status=Status.OK, message=f"by {by}, {model} is served until {ends}")


def _warning(message: str) -> Check:
    return Check(name=CheckName.LIFECYCLE, status=Status.WARNING, message=message, mend=_MEND)
