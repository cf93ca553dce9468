"""From a passage to entities and facts: the rules applied sentence by sentence."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from workers.embedded.simulator.brain.dates import find_date
from workers.embedded.simulator.brain.passage import Passage
from workers.embedded.simulator.brain.rules import NAME, Rule, candidates

_BOUNDARY = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<=[.!?])\s+|(?<=[。\uff01\uff1f])|\n+")
_NAMES = re.compile(rf"(?<![\w\u2019']){NAME}")
_FIRST_PERSON: Final = frozenset(
    (
        "i",
        "we",
        "my",
        "ich",
        "wir",
        "mein",
        "meine",
        "yo",
        "me",
        "mi",
        "je",
        "j'",
        "nous",
        "mon",
        "ma",
        "私",
        "僕",
        "俺",
    )
)
_APOSTROPHE = "\u2019"
_HEDGED = re.compile(
    r"\b(?:[Nn]ot|[Nn]ever|might|may|[Mm]aybe|[Pp]erhaps|would|could|should|[Ii]f|nicht|nie|vielleicht|[Nn]unca|[Qq]uizás|ne|"
    r"jamais|peut-être)\b|n['\u2019]t\b"
)
_CLAUSE = re.compile(r"[,;:]|\b(?:and|but|because|since|und|aber|weil|y|pero|porque|et|mais)\b")
_QUESTION = ("?", "\uff1f")
_BEFORE_PLACE = re.compile(r"\b(?:in|to|from|near|around|visited|nach|en|à) $")
_BEFORE_ORGANISATION = re.compile(r"\b(?:at|for|bei|chez|para) $")
_BEFORE_PERSON = re.compile(r"\b(?:with|met|told|called|named|mit|con|avec) $")
_COMMON: Final = frozenset(files(__package__).joinpath("common_words.txt").read_text(encoding="utf-8").split())
_ORGANISATION = re.compile(
    r"\b(?:Inc|Corp|Ltd|LLC|GmbH|AG|SA|Company|University|College|School|Hospital|Bank|Labs?|Institute|Studio|Foundry|Agency|Group)\b"
)
_SYNONYMS: Final = {
    "person": ("person", "people", "human", "user", "customer", "individual"),
    "place": ("place", "location", "city", "country", "geo"),
    "organization": ("organization", "organisation", "company", "employer", "org", "institution", "business"),
    "animal": ("animal", "pet"),
    "topic": ("topic", "concept", "thing", "preference", "object"),
}
_LONGEST_SUMMARY = 160
_MOST_WORDS_OF_A_PERSON = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a passage says, as records with the property names that schemas use most."""

    entities: tuple[dict[str, Any], ...] = ()
    facts: tuple[dict[str, Any], ...] = ()
    #: Of a prompt about several episodes: what each says, by its key.
    parts: Mapping[str, "Findings"] = field(default_factory=dict)


@dataclass(slots=True)
class _Notes:
    """What was found so far."""

    passage: Passage
    kinds: dict[str, str]
    said: dict[str, list[str]]
    facts: list[dict[str, Any]]

    def meet(self, name: str, kind: str, sentence: str) -> None:
        """An entity was named; a kind that a fact implies beats a guess."""
        if self.kinds.get(name, "other") == "other":
            self.kinds[name] = kind
        self.said.setdefault(name, [])
        if sentence and sentence not in self.said[name]:
            self.said[name].append(sentence)

    def state(self, **fact: Any) -> None:
        """A fact was found; each is kept once."""
        known = {(known["subject"], known["predicate"], known["object"]) for known in self.facts}
        if (fact["subject"], fact["predicate"], fact["object"]) not in known:
            self.facts.append(fact)


def extract(passage: Passage) -> Findings:
    """Entities and facts of a passage."""
    notes = _Notes(passage=passage, kinds={}, said={}, facts=[])
    document = _document(passage.text)
    if document is None:
        for sentence in _sentences(passage.text):
            _read(notes, sentence)
        _name_the_rest(notes)
    else:
        _read_document(notes, document, "document")
    entities = tuple(
        {"name": name, "type": _type(kind, passage.types), "summary": _summary(notes.said[name])}
        for name, kind in notes.kinds.items()
    )
    return Findings(entities=entities, facts=tuple(notes.facts))


def _sentences(text: str) -> Iterator[str]:
    for part in _BOUNDARY.split(text):
        if sentence := part.strip():
            yield sentence


def _read(notes: _Notes, sentence: str) -> None:
    """Apply all rules to one sentence."""
    if sentence.endswith(_QUESTION):
        return
    today = notes.passage.reference.date() if notes.passage.reference else None
    spans: list[tuple[str, int, int]] = []
    for rule in candidates(sentence):
        for match in rule.pattern.finditer(sentence):
            start, end = match.span()
            taken = any(rule.predicate == kind and start < till and since < end for kind, since, till in spans)
            if taken or _hedged(sentence, start, end):
                continue
            when = None if rule.dating == "none" else find_date(sentence, today)
            if _note(notes, rule, match, when):
                spans.append((rule.predicate, start, end))


def _hedged(sentence: str, start: int, end: int) -> bool:
    """Whether the clause around a match denies or merely supposes."""
    since = max((boundary.end() for boundary in _CLAUSE.finditer(sentence, 0, start)), default=0)
    after = _CLAUSE.search(sentence, end)
    return bool(_HEDGED.search(sentence, since, after.start() if after else len(sentence)))


def _note(notes: _Notes, rule: Rule, match: re.Match[str], when: str | None) -> bool:
    groups = match.groupdict()
    passage = notes.passage
    subject = _subject(groups.get("s"), None if passage.role == "assistant" else passage.speaker)
    target = match["o"].strip().strip("\"'“”")
    if subject is None or not target:
        return False
    detail = (groups.get("x") or "").strip()
    predicate = rule.predicate.replace("{x}", _upper(detail))
    sentence = rule.sentence.format(s=subject, o=target, x=detail)
    sentence = sentence[:1].upper() + sentence[1:]
    notes.meet(subject, "person", sentence)
    if rule.kind is not None:
        notes.meet(target, rule.kind, sentence)
    evidence = match[0].strip()
    notes.state(
        evidence=evidence,
        subject=subject,
        predicate=predicate,
        object=target,
        fact=sentence,
        valid_at=when if rule.dating == "from" and when else "",
        invalid_at=when if rule.dating == "until" and when else "",
    )
    if rule.former is not None and groups.get("f"):
        earlier = rule.former.format(s=subject, f=groups["f"])
        notes.meet(groups["f"], rule.kind or "other", earlier)
        notes.state(
            evidence=evidence,
            subject=subject,
            predicate=predicate,
            object=groups["f"],
            fact=earlier,
            valid_at="",
            invalid_at=when or "",
        )
    return True


def _subject(found: str | None, speaker: str | None) -> str | None:
    """Who a statement is about; None when that is nobody with a name."""
    if not found:
        return speaker
    name = found.strip().rstrip(",")
    name = name.replace(_APOSTROPHE, "'").removesuffix("'s")
    if name.lower() in _FIRST_PERSON:
        return speaker
    if name.lower().startswith("my "):
        _, _, rest = name.partition(" ")
        named = _NAMES.search(rest)
        if named:
            return named[0]
        return f"{speaker}'s {rest}" if speaker else None
    # A sentence may begin with a word that is capitalised only for that.
    first, _, rest = name.partition(" ")
    if first.lower() in _COMMON:
        return rest or None
    return name


def _name_the_rest(notes: _Notes) -> None:
    """Names that no rule caught."""
    text = notes.passage.text
    german = bool(re.search(r"\b(?:ich|und|der|ist|nicht|ein|eine)\b", text))
    for sentence in _sentences(text):
        for match in _NAMES.finditer(sentence):
            name = _trimmed(match[0])
            words = name.count(" ") + 1
            known = [*notes.kinds, *(str(fact["object"]) for fact in notes.facts)]
            if not name or not name[0].isupper() or any(name in other for other in known):
                continue
            # A single capitalised word proves nothing in German, nor at the start of a sentence.
            if words == 1 and (german or sentence.startswith(match[0])):
                continue
            notes.meet(name, _guess(name, words, sentence[: sentence.index(name, match.start())]), sentence)


def _trimmed(name: str) -> str:
    """A name without the common words before it and the possessive after it."""
    while name.partition(" ")[0].lower() in _COMMON:
        name = name.partition(" ")[2]
    return name.removesuffix("'s").removesuffix(f"{_APOSTROPHE}s")


def _guess(name: str, words: int, before: str) -> str:
    if _ORGANISATION.search(name) or _BEFORE_ORGANISATION.search(before):
        return "organization"
    if _BEFORE_PLACE.search(before):
        return "place"
    if _BEFORE_PERSON.search(before) or 1 < words <= _MOST_WORDS_OF_A_PERSON:
        return "person"
    return "other"


def _document(text: str) -> Any | None:
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _read_document(notes: _Notes, node: Any, label: str) -> None:
    """Facts of a JSON document: each scalar of an object is a fact about the object's name."""
    if isinstance(node, list):
        for item in node:
            _read_document(notes, item, label)
        return
    if not isinstance(node, dict):
        return
    subject = next(
        (str(node[key]) for key in ("name", "title", "label", "id") if isinstance(node.get(key), str)), label
    )
    notes.meet(subject, "other", "")
    for key, value in node.items():
        if isinstance(value, dict | list):
            _read_document(notes, value, key)
        elif value is not None and str(value) != subject and value != "":
            shown = json.dumps(value, ensure_ascii=False)
            evidence = next((q for q in (f'"{key}":{shown}', f'"{key}": {shown}') if q in notes.passage.text), shown)
            sentence = f"{key.replace('_', ' ').capitalize()} of {subject}: {value}."
            notes.said[subject].append(sentence)
            notes.state(
                evidence=evidence,
                subject=subject,
                predicate=_upper(key),
                object=str(value),
                fact=sentence,
                valid_at="",
                invalid_at="",
            )


def _type(kind: str, allowed: tuple[str, ...]) -> str:
    """The allowed type that comes nearest to a kind."""
    names = _SYNONYMS.get(kind, ())
    for candidate in allowed:
        if candidate.lower() in names:
            return candidate
    return "other" if allowed or kind == "other" else kind


def _summary(sentences: list[str]) -> str:
    return " ".join(sentences)[:_LONGEST_SUMMARY]


def _upper(words: str) -> str:
    return re.sub(r"\W+", "_", words.strip()).strip("_").upper() or "HAS"
