r"""Loads the kinds of statement that the simulated model understands from `rules.toml`.

Marks in a pattern: `{S}` is the subject in the rule's language, `{N}` a capitalised name and `{P}` a phrase up to the
next clause, both the object; `{J}` a Japanese phrase; `{F}` a name that the statement moves away from. `{NAME}` and
`{KIN}` (sister, boss, …) stand inside groups of a pattern's own, of which `(?P<x>…)` may be repeated in predicate and
sentence. `{BE}`, `{DO}` and `{now}` are English auxiliaries and adverbs. In a sentence, `{s}`, `{o}`, `{f}` and `{x}`
are what was matched.
"""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

_WORD = r"[A-ZÀ-ÖØ-Þ][\w\u2019'&-]*"
_OF = "University|Bank|Museum|Ministry|School|College|Institute|City|Bay|Isle|Republic"
NAME: Final = (
    rf"(?:(?:{_OF}) of (?:the )?)?{_WORD}(?:(?: (?:de|de la|del|da|di|van|von|der|den))? {_WORD}|(?: \d+\b)){{0,4}}"
)
_KIN = (
    "sister|brother|mother|father|mum|mom|dad|wife|husband|partner|son|daughter|friend|best friend|boss|manager|"
    "colleague|cousin|aunt|uncle|neighbour|neighbor|grandmother|grandfather|roommate|girlfriend|boyfriend"
)
_PHRASE = (
    r"[^,.;:!?\n]+?(?=\s+(?:and|but|because|since|so|when|und|aber|weil|y|pero|porque|et|mais|parce)\b|"
    r"\s*[,.;:!?\n]|\s*$)"
)
_SUBJECTS: Final = {
    "en": rf"(?P<s>\b(?:I|[Ww]e|[Mm]y (?:{_KIN})(?:,? {_WORD},?)?|(?:{NAME})))",
    "de": rf"(?P<s>\b(?:[Ii]ch|[Ww]ir|{NAME}))",
    "es": rf"(?:(?P<s>\b(?:[Yy]o|{NAME})) )?",
    "fr": rf"(?P<s>\b(?:[Jj]e|[Jj]['\u2019]|[Nn]ous|{NAME}))",
    "ja": r"(?:(?P<s>[^、。はが\s]{1,20})[はが])?",
}
#: In the order in which they are put in; a later mark may stand inside an earlier one's text.
_MARKS: Final = {
    "{N}": "(?P<o>{NAME})",
    "{F}": "(?P<f>{NAME})",
    "{P}": f"(?P<o>{_PHRASE})",
    "{J}": r"(?P<o>[^、。はがをに\s]{1,20}?)",
    "{now}": "(?: (?:now|currently|still|just|recently|also|really|finally))?",
    "{BE}": r"(?:['\u2019](?:m|s|re)| am| is| are)",
    "{DO}": r"(?: have| has| had|['\u2019](?:ve|s))?",
    "{NAME}": NAME,
    "{KIN}": _KIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of statement."""

    pattern: re.Pattern[str]
    #: Lower-case pieces of text of which one must be there; they spare most sentences the pattern.
    triggers: tuple[str, ...]
    predicate: str
    sentence: str
    #: Kind of entity that the object is, or None for a literal.
    kind: str | None
    #: What a date in the sentence means.
    dating: Literal["from", "until", "none"]
    #: The sentence about the name that the statement moves away from.
    former: str | None


def _compile(entry: dict[str, Any]) -> Rule:
    pattern = entry["pattern"].replace("{S}", _SUBJECTS[entry["language"]])
    for mark, text in _MARKS.items():
        pattern = pattern.replace(mark, text)
    return Rule(
        pattern=re.compile(pattern),
        triggers=tuple(entry["triggers"]),
        predicate=entry["predicate"],
        sentence=entry["sentence"],
        kind=entry.get("kind"),
        dating=entry.get("dating", "from"),
        former=entry.get("former"),
    )


def _load() -> tuple[Rule, ...]:
    text = files(__package__).joinpath("rules.toml").read_text(encoding="utf-8")
    return tuple(_compile(entry) for entry in tomllib.loads(text)["rule"])


RULES: Final = _load()
#: Trigger → places of its rules in `RULES`.
_TRIGGERS: Final = {
    trigger: frozenset(place for place, rule in enumerate(RULES) if trigger in rule.triggers)
    for trigger in sorted({trigger for rule in RULES for trigger in rule.triggers})
}


def candidates(sentence: str) -> list[Rule]:
    """The rules that may match a sentence, in their order."""
    lowered = sentence.lower()
    places: set[int] = set()
    for trigger, found in _TRIGGERS.items():
        if trigger in lowered:
            places |= found
    return [RULES[place] for place in sorted(places)]
