"""Dates in a sentence, resolved against a reference time, in the granularity in which they are known."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january januar enero janvier",
            "february februar febrero février",
            "march märz marzo mars",
            "april abril avril",
            "may mai mayo",
            "june juni junio juin",
            "july juli julio juillet",
            "august agosto août",
            "september septiembre septembre",
            "october oktober octubre octobre",
            "november noviembre novembre",
            "december dezember diciembre décembre",
        ),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            "monday montag lunes lundi",
            "tuesday dienstag martes mardi",
            "wednesday mittwoch miércoles mercredi",
            "thursday donnerstag jueves jeudi",
            "friday freitag viernes vendredi",
            "saturday samstag sábado samedi",
            "sunday sonntag domingo dimanche",
        )
    )
    for name in names.split()
}
_MONTH = "|".join(_MONTHS)
_WEEKDAY = "|".join(_WEEKDAYS)
_NUMBERS: Final = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}

#: German "hier" means here, so the French one needs French beside it.
_HIER = r"\b(?:j['\u2019]|je |nous |est |a ).*\bhier\b|\bhier,? (?:j['\u2019]|je |nous )"

Resolver = Callable[[re.Match[str], date | None], str | None]


def _day(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _month_and_day(month: str, day: str, year: str | None, reference: date | None) -> str | None:
    number = _MONTHS[month]
    if year:
        return _day(int(year), number, int(day))
    if reference is None:
        return None
    # Without a year people mean the date nearest to now that has been.
    latest = _day(reference.year, number, int(day))
    return latest if latest and latest <= reference.isoformat() else _day(reference.year - 1, number, int(day))


def _ago(match: re.Match[str], reference: date | None) -> str | None:
    if reference is None:
        return None
    amount = _NUMBERS.get(match["n"]) or int(match["n"])
    unit = match["unit"]
    if unit == "year":
        return f"{reference.year - amount:04d}"
    if unit == "month":
        return _months_before(reference, amount)
    return (reference - timedelta(days=amount * (7 if unit == "week" else 1))).isoformat()


def _months_before(reference: date, amount: int) -> str:
    index = reference.year * 12 + reference.month - 1 - amount
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _weekday(match: re.Match[str], reference: date | None) -> str | None:
    if reference is None:
        return None
    back = (reference.weekday() - _WEEKDAYS[match["day"]]) % 7 or 7
    return (reference - timedelta(days=back)).isoformat()


def _shift(days: int) -> Resolver:
    return lambda _, reference: None if reference is None else (reference + timedelta(days=days)).isoformat()


def _months(amount: int) -> Resolver:
    return lambda _, reference: None if reference is None else _months_before(reference, amount)


def _years(amount: int) -> Resolver:
    return lambda _, reference: None if reference is None else f"{reference.year - amount:04d}"


#: Pieces of lower-case text of which one must be there (None: a digit), pattern on lower-case text, and what it means.
_RULES: Final[tuple[tuple[tuple[str, ...] | None, re.Pattern[str], Resolver], ...]] = tuple(
    (triggers, re.compile(pattern), resolve)
    for triggers, pattern, resolve in (
        (None, r"\b(\d{4})-(\d\d)-(\d\d)\b", lambda m, _: _day(int(m[1]), int(m[2]), int(m[3]))),
        (("年",), r"(\d{4})年(\d{1,2})月(\d{1,2})日", lambda m, _: _day(int(m[1]), int(m[2]), int(m[3]))),
        (
            None,
            rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th|er)?\.?\s+(?:of\s+|de\s+)?(?P<m>{_MONTH})(?:,?\s+(?:de\s+)?(?P<y>\d{{4}}))?\b",
            lambda m, ref: _month_and_day(m["m"], m["d"], m["y"], ref),
        ),
        (
            None,
            rf"\b(?P<m>{_MONTH})\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<y>\d{{4}}))?\b",
            lambda m, ref: _month_and_day(m["m"], m["d"], m["y"], ref),
        ),
        (None, rf"\b(?P<m>{_MONTH})\s+(?:de\s+)?(?P<y>\d{{4}})\b", lambda m, _: f"{m['y']}-{_MONTHS[m['m']]:02d}"),
        (
            (" ago",),
            r"\b(?P<n>\d{1,2}|a|one|two|three|four|five|six|ten)\s+(?P<unit>day|week|month|year)s?\s+ago\b",
            _ago,
        ),
        (("last ", "letzten "), rf"\b(?:last|letzten)\s+(?P<day>{_WEEKDAY})\b", _weekday),
        ((" pasado", " dernier"), rf"\b(?P<day>{_WEEKDAY})\s+(?:pasado|dernier)\b", _weekday),
        (("before yesterday", "vorgestern", "anteayer", "avant-hier", "一昨日"), "", _shift(-2)),
        (
            ("yesterday", "gestern", "ayer", "hier", "昨日"),
            rf"\byesterday\b|\bgestern\b|\bayer\b|昨日|{_HIER}",
            _shift(-1),
        ),
        (("today", "heute", "hoy", "hui", "今日"), r"\b(?:today|heute|hoy|aujourd['\u2019]hui)\b|今日", _shift(0)),
        (("tomorrow", "morgen", "mañana", "demain", "明日"), r"\b(?:tomorrow|morgen|mañana|demain)\b|明日", _shift(1)),
        (("last week", "letzte woche", "semana pasada", "semaine dernière", "先週"), "", _shift(-7)),
        (("last month", "letzten monat", "mes pasado", "mois dernier", "先月"), "", _months(1)),
        (("last year", "letztes jahr", "año pasado", "année dernière", "去年"), "", _years(1)),
        (("this month", "diesen monat", "este mes", "ce mois-ci", "今月"), "", _months(0)),
        (
            None,
            r"\b(?:in|since|until|seit|bis|desde|hasta|en|depuis)\s+((?:19|20)\d\d)\b|((?:19|20)\d\d)年",
            lambda m, _: m[1] or m[2],
        ),
    )
)
_DIGIT = re.compile(r"\d")


def find_date(sentence: str, reference: date | None) -> str | None:
    """The first date of a sentence as `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, or None."""
    lowered = sentence.lower()
    has_digit = _DIGIT.search(lowered) is not None
    for triggers, pattern, resolve in _RULES:
        if has_digit if triggers is None else any(trigger in lowered for trigger in triggers):
            match = pattern.search(lowered)
            if match is not None:
                return resolve(match, reference)
    return None
