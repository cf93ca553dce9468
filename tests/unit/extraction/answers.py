"""Answers as a model would give them, and what became of them."""

from typing import Any

from workers.extraction import Extracted

REFERENCE = "2026-03-04T12:30:00+01:00"
SAID = (
    "I moved to Lisbon last May, and since January I have worked at Acme with Rui Costa. "
    "We used to live in Porto until 2019. Rui plays chess and is 34."
)
MESSAGE = {"speaker": "Ana Lima", "role": "user", "reference_time": REFERENCE}


def entity(name: str, kind: str = "person", summary: str = "") -> dict[str, str]:
    return {"name": name, "type": kind, "summary": summary}


def fact(subject: str, predicate: str, target: Any, evidence: str, **more: Any) -> dict[str, Any]:
    return {
        "evidence": evidence,
        "subject": subject,
        "predicate": predicate,
        "object": target,
        "fact": f"{subject} {predicate.lower()} {target}.",
        "valid_at": "",
        "invalid_at": "",
        **more,
    }


def answer(entities: list[Any], facts: list[Any]) -> dict[str, Any]:
    return {"entities": entities, "facts": facts}


ANA, RUI, ACME = entity("Ana Lima"), entity("Rui Costa"), entity("Acme", "organization")
WORKS = fact("Ana Lima", "WORKS_AT", "Acme", "since January I have worked at Acme")


def codes(checked: Extracted) -> list[str]:
    return [warning.code for warning in checked.warnings]


def stated(checked: Extracted) -> list[tuple[str, str, str, bool]]:
    return [(one.subject, one.predicate, one.object, one.object_is_literal) for one in checked.facts]
