from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, TypeAdapter

from workers.extraction.dates import Calendar, UnreadableDate

CET = timezone(timedelta(hours=2))
EST = timezone(timedelta(hours=-5))
REFERENCE = datetime(2026, 3, 1, 12, 30, tzinfo=CET)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024", datetime(2024, 1, 1, tzinfo=CET)),
        ("2024-06", datetime(2024, 6, 1, tzinfo=CET)),
        ("2024-06-30", datetime(2024, 6, 30, tzinfo=CET)),
        (" 2024-06-30 ", datetime(2024, 6, 30, tzinfo=CET)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=CET)),
        ("2024-06-30T08:15:00", datetime(2024, 6, 30, 8, 15, tzinfo=CET)),
        ("2024-06-30T08:15", datetime(2024, 6, 30, 8, 15, tzinfo=CET)),
        ("2024-06-30 08:15:00", datetime(2024, 6, 30, 8, 15, tzinfo=CET)),
        ("2024-06-30T08:15:00Z", datetime(2024, 6, 30, 8, 15, tzinfo=UTC)),
        ("2024-06-30T08:15:00-05:00", datetime(2024, 6, 30, 8, 15, tzinfo=EST)),
        ("2024-06-30T08:15:00.25Z", datetime(2024, 6, 30, 8, 15, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_dates_are_read_in_the_agreed_forms(text: str, read: datetime) -> None:
    result = Calendar(REFERENCE, "").read(text)

    assert result == read
    assert result is not None
    assert result.utcoffset() == read.utcoffset()


@pytest.mark.parametrize("text", ["", " ", "null", "None", "N/A", "unknown", "-", "present", "ongoing"])
def test_words_for_no_date_mean_no_date(text: str) -> None:
    assert Calendar(REFERENCE, "").read(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "last Friday", "2024-02-30", "2023-02-29", "2024-13", "2024-00", "2024-06-31", "2024-06-30T25:00:00",
        "24-06-30",
        "06/30/2024", "30.06.2024", "0000", "0001-01-01", "9999-12-31", "10000", "20240630", "2024-W26", "2024-06-30T",
        "2024-06-30T08:15:00+99:00", "2024-06-30 or so", "٢٠٢٤-06-30", "Infinity",
    ],
)  # fmt: skip
def test_what_is_no_date_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableDate):
        Calendar(REFERENCE, "").read(text)


@pytest.mark.parametrize("reference", [None, REFERENCE.replace(tzinfo=timezone(timedelta(hours=1, seconds=7)))])
def test_without_a_usable_offset_dates_are_in_utc(reference: datetime | None) -> None:
    assert Calendar(reference, "").read("2024-06-30") == datetime(2024, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("year", "reference", "said", "plausible"),
    [
        (2019, REFERENCE, "", True),
        (1926, REFERENCE, "", True),
        (1925, REFERENCE, "", False),
        (2126, REFERENCE, "", True),
        (2127, REFERENCE, "", False),
        (1848, REFERENCE, "since the revolution of 1848", True),
        (800, REFERENCE, "crowned in 800", True),
        (1848, REFERENCE, "18480 men", False),
        (2024, None, "I moved last week", False),
        (2024, None, "I moved in 2024", True),
        (1998, None, "back in '98", True),
        (2021, None, "in ٢٠٢١", True),
        (2021, None, "２０２１年", True),
        (1898, REFERENCE, "back in '98", False),
    ],
)
def test_a_year_must_be_near_the_reference_time_or_in_the_text(
    year: int, reference: datetime | None, said: str, *, plausible: bool
) -> None:
    assert Calendar(reference, said).is_plausible(datetime(year, 5, 1, tzinfo=UTC)) is plausible


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-03-01T12:30:00+02:00", True),
        ("2026-03-01T10:30:00Z", True),
        ("2026-03-01", True),
        ("2026-03-02", False),
        ("2026-03", True),  # the month began on the day of the reference time
        ("2026-03-01T12:31:00+02:00", False),
    ],
)
def test_the_reference_time_and_its_day_are_stamps(text: str, *, stamp: bool) -> None:
    calendar = Calendar(REFERENCE, "")
    date = calendar.read(text)

    assert date is not None
    assert calendar.is_stamp(date) is stamp


def test_without_a_reference_time_nothing_is_a_stamp() -> None:
    assert not Calendar(None, "").is_stamp(REFERENCE)


OFFSETS = st.integers(min_value=-86_399, max_value=86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
INSTANT = TypeAdapter(AwareDatetime)


@given(date=st.datetimes(timezones=OFFSETS), reference=st.none() | st.datetimes(timezones=OFFSETS))
def test_whatever_is_read_goes_through_json_unchanged(date: datetime, reference: datetime | None) -> None:
    calendar = Calendar(reference, "")
    for text in (date.isoformat(), date.replace(tzinfo=None).isoformat(), date.date().isoformat()):
        try:
            read = calendar.read(text)
        except UnreadableDate:
            continue
        assert read is not None
        assert INSTANT.validate_json(INSTANT.dump_json(read)) == read
        calendar.is_plausible(read)
        calendar.is_stamp(read)


@given(text=st.text(alphabet=st.sampled_from("0123456789-:TZ+. W٣"), max_size=30))
def test_reading_raises_nothing_else(text: str) -> None:
    try:
        read = Calendar(None, "").read(text)
    except UnreadableDate:
        return
    assert read is None or read.tzinfo is not None
