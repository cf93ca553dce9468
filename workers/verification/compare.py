"""The catalogue and the models in use, held against a provider's own list. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from config.catalogue import ModelFacts
from workers.verification.lifecycle import NOTICE_DAYS
from workers.verification.live_models import LiveModel, LiveModels
from workers.verification.names import same_model
from workers.verification.report import Status

#: Days before the end of a model at which it is as good as gone.
LAST_DAYS = 30

#: Vendors' words for their small, fast models.
_SMALL = re.compile(r"(?:^|[-.])(?:mini|nano|micro|lite|small|flash|haiku|luna)(?:[-.]|$)")
#: Words of models that do something else than write text, or that are not meant to stay.
_OTHER = re.compile(
    r"audio|tts|speech|image|vision|realtime|live|transcri|translat|search|embed|moderation|robotics|computer|codex"
    r"|research|guard|preview|exp(?:erimental)?$|latest"
)


class FindingKind(StrEnum):
    """What was found."""

    #: The provider does not list it.
    GONE = "gone"
    #: It ends within `NOTICE_DAYS`; within `LAST_DAYS` that is a failure.
    ENDING = "ending"
    DEPRECATED = "deprecated"
    #: Catalogue and provider name different days.
    END_DIFFERS = "end_differs"
    #: A small model that the catalogue does not know.
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the comparison."""

    model: str
    kind: FindingKind
    #: `ok` for news that asks for nothing.
    status: Status
    #: Whether a connection calls it.
    in_use: bool
    message: str
    #: By the provider's list, else by the catalogue.
    ends: date | None = None

    def as_json(self) -> dict[str, Any]:
        """A JSON document."""
        return {
            "model": self.model,
            "finding": self.kind.value,
            "status": self.status.value,
            "in_use": self.in_use,
            "message": self.message,
            "ends": self.ends.isoformat() if self.ends else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A model of the catalogue or in use, with what both sides know of it."""

    id: str
    facts: ModelFacts | None
    entry: LiveModel | None
    in_use: bool

    @property
    def ends(self) -> date | None:
        """By the provider's list, else by the catalogue."""
        if self.entry and self.entry.ends:
            return self.entry.ends
        return self.facts.ends if self.facts else None

    def finding(self, kind: FindingKind, status: Status, message: str) -> Finding:
        return Finding(model=self.id, kind=kind, status=status, in_use=self.in_use, message=message, ends=self.ends)


def compare(
    catalogue: Iterable[ModelFacts], in_use: Collection[str], live: LiveModels | None, *, today: date
) -> list[Finding]:
    """What is worth knowing of the models of one provider: those in use, those of the catalogue, then new ones.

    Args:
        catalogue: the provider's models.
        in_use: ids of models that connections call.
        live: the provider's list; without one, the catalogue's days are all there is.
        today: in UTC.
    """
    known = {facts.id: facts for facts in catalogue}
    models = [
        _Model(id=name, facts=known.get(name), entry=live.find(name) if live else None, in_use=name in in_use)
        for name in dict.fromkeys([*in_use, *known])
    ]
    findings = [finding for model in models for finding in _findings(model, live, today)]
    return findings + list(_news({model.id for model in models}, live, today) if live else ())


def _findings(model: _Model, live: LiveModels | None, today: date) -> Iterator[Finding]:
    if live is not None and model.entry is None:
        if live.certain:
            yield model.finding(FindingKind.GONE, Status.FAILED, "the provider does not list it for this key")
            return
        if model.in_use:
            yield model.finding(FindingKind.GONE, Status.WARNING, "not listed; it may be served all the same")
    if model.ends is not None:
        left = (model.ends - today).days
        status = Status.FAILED if left <= LAST_DAYS else Status.WARNING
        if left < 0:
            yield model.finding(FindingKind.ENDING, status, f"was to be switched off on {model.ends}")
        elif left <= NOTICE_DAYS:
            yield model.finding(FindingKind.ENDING, status, f"is switched off on {model.ends}, in {left} days")
    elif model.entry is not None and model.entry.deprecated:
        yield model.finding(FindingKind.DEPRECATED, Status.WARNING, "is deprecated; the provider names no day yet")
    if live is not None and live.dated and model.facts and model.entry and model.entry.ends != model.facts.ends:
        theirs, ours = model.entry.ends or "no end", model.facts.ends or "no end"
        message = f"the provider's list says {theirs}, the catalogue {ours}"
        yield model.finding(FindingKind.END_DIFFERS, Status.WARNING, message)


def _news(known: Collection[str], live: LiveModels, today: date) -> Iterator[Finding]:
    for entry in live.models:
        name = entry.id.lower()
        ending = entry.ends is not None and (entry.ends - today).days <= NOTICE_DAYS
        if entry.id in known or ending or entry.deprecated or not _SMALL.search(name) or _OTHER.search(name):
            continue
        others = {*known, *(other.id for other in live.models)} - {entry.id}
        if not any(same_model(other, entry.id) for other in others):
            model = _Model(id=entry.id, facts=None, entry=entry, in_use=False)
            yield model.finding(FindingKind.NEW, Status.OK, "is not in the catalogue; --unverified takes it")
