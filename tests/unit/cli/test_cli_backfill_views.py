"""What a backfill's progress bar says beside the count of lines."""

from rich.text import Text

from workers.cli.backfill_views import figures, span


def shown(sums: dict[str, int], *past: tuple[float, int], left: int = 100) -> list[str]:
    return Text.from_markup(figures(sums, past, in_flight=12, left=left)).plain.split("  ")


def test_pace_and_time_left_are_those_of_the_last_half_minute() -> None:
    assert shown({"pico": 1_234_000_000_000}, (5.0, 50), (15.0, 100), left=6_000) == [
        "5.0/s",
        "20 min left",
        "$1.23",
        "12 in flight",
    ]


def test_before_anything_was_done_no_time_is_promised() -> None:
    assert shown({}, (5.0, 0)) == shown({}, (5.0, 0), (9.0, 0)) == ["…", "$0.00", "12 in flight"]


def test_what_did_not_go_as_planned_is_counted() -> None:
    sums = {"pico": 0, "unpriced": 7, "fallbacks": 1_000, "partial": 2, "failed": 3, "invalid": 4}

    assert shown(sums, (0.0, 0), (1.0, 1), left=0) == [
        "1.0/s",
        "0 s left",
        "$0.00 + 7 of unknown cost",
        "12 in flight",
        "1,000 fallbacks",
        "2 partial",
        "3 failed",
        "4 invalid",
    ]


def test_a_span_has_its_two_largest_units() -> None:
    assert [span(seconds) for seconds in (0.2, 59.6, 3_600, 90_061)] == ["0 s", "1 min", "1 h", "1 d 1 h"]
