"""What the checks repaired or left out, gathered into few warnings."""

from enum import StrEnum
from typing import Final

from tasks.contract import ResultWarning


class WarningCode(StrEnum):
    """What a warning is about."""

    ITEM_MALFORMED = "item_malformed"
    TOO_MANY_ITEMS = "too_many_items"
    REPETITION = "repetition"
    EXAMPLE_COPIED = "example_copied"
    ENTITY_INVENTED = "entity_invented"
    ENTITY_ADDED = "entity_added"
    TYPE_UNKNOWN = "type_unknown"
    NAME_IS_PRONOUN = "name_is_pronoun"
    FACT_WITHOUT_ENTITY = "fact_without_entity"
    FACT_ABOUT_ITSELF = "fact_about_itself"
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_MENDED = "evidence_mended"
    OTHER_EPISODE = "other_episode"
    DATE_UNREADABLE = "date_unreadable"
    DATE_IMPLAUSIBLE = "date_implausible"
    DATES_REVERSED = "dates_reversed"
    DATES_STAMPED = "dates_stamped"
    DATES_CONFLICT = "dates_conflict"
    LANGUAGE_CHANGED = "language_changed"
    CONTEXT_CUT = "context_cut"


#: What happened and what was done about it; the names follow.
_DETAILS: Final[dict[WarningCode, str]] = {
    WarningCode.ITEM_MALFORMED: "elements left out, a field was missing, empty or too long",
    WarningCode.TOO_MANY_ITEMS: "elements left out, more were returned than one call may yield",
    WarningCode.REPETITION: "elements left out, the text went round in circles",
    WarningCode.EXAMPLE_COPIED: "elements left out, copied from the example of the instructions",
    WarningCode.ENTITY_INVENTED: "entities left out, the episode does not name them",
    WarningCode.ENTITY_ADDED: "entities added, facts speak of them and the episode names them",
    WarningCode.TYPE_UNKNOWN: "entities given the type 'other', theirs was not among the job's types",
    WarningCode.NAME_IS_PRONOUN: "elements left out, a pronoun stood where a name belongs",
    WarningCode.FACT_WITHOUT_ENTITY: "facts left out, the episode does not name their subject",
    WarningCode.FACT_ABOUT_ITSELF: "facts left out, subject and object were the same",
    WarningCode.EVIDENCE_MISSING: "facts left out, their quote is not in the episode",
    WarningCode.EVIDENCE_MENDED: "facts given the sentence nearest to their inexact quote",
    WarningCode.OTHER_EPISODE: "facts left out, they are of another episode of the same prompt",
    WarningCode.DATE_UNREADABLE: "dates left out, they could not be read",
    WarningCode.DATE_IMPLAUSIBLE: "dates left out, neither the episode nor its reference time accounts for the year",
    WarningCode.DATES_REVERSED: "facts left undated, they would have ended before they began",
    WarningCode.DATES_STAMPED: "facts left undated, all had been given the reference time",
    WarningCode.DATES_CONFLICT: "facts stated twice with different dates, the first kept",
    WarningCode.LANGUAGE_CHANGED: "the facts are not in the language of the episode",
    WarningCode.CONTEXT_CUT: "the oldest context was left out, only the newest is sent",
}

#: Names per warning, and characters per name.
_NAMES: Final = 3
_NAME_CHARS: Final = 40


class Notes:
    """Collects what happened; many happenings of one kind become one warning."""

    def __init__(self) -> None:
        self._names: dict[WarningCode, list[str]] = {}

    def add(self, code: WarningCode, name: str = "") -> None:
        """Remember one happening; `name` says what it happened to, and is never more than a name."""
        self._names.setdefault(code, []).append(name)

    def warnings(self, episode_id: str | None) -> list[ResultWarning]:
        """One warning for each kind, in the order in which they first happened."""
        return [
            ResultWarning(code=code, detail=_detail(code, names), episode_id=episode_id)
            for code, names in self._names.items()
        ]


def _detail(code: WarningCode, names: list[str]) -> str:
    known = [name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…" for name in names if name]
    times = f" ({len(names)})" if len(names) > 1 else ""
    listed = f": {', '.join(known[:_NAMES])}" if known else ""
    more = f" and {len(known) - _NAMES} more" if len(known) > _NAMES else ""
    return f"{_DETAILS[code]}{times}{listed}{more}"
