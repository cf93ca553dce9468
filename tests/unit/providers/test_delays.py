from datetime import UTC, datetime

import pytest

from workers.providers.delays import MAX_DELAY, vendor_delay
from workers.providers.rate_limits import ANTHROPIC_HEADERS, OPENAI_HEADERS, LimitHeaders

_NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 11:59:30 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, MAX_DELAY),
        ({"retry-after": "9" * 400}, MAX_DELAY),
        ({"retry-after": "604800"}, MAX_DELAY),
        ({"retry-after": "later"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_the_wait_of_a_header(headers: dict[str, str], delay: float | None) -> None:
    assert vendor_delay(headers, now=_NOW) == delay


@pytest.mark.parametrize(
    ("info", "delay"),
    [("14s", 14), ("0.5s", 0.5), ("1m30s", 90), ("s", None), ("14", None), ("14s!", None), (14, None), (None, None)],
)
def test_googles_retry_info(info: object, delay: float | None) -> None:
    assert vendor_delay({}, retry_info=info, now=_NOW) == delay


def test_a_header_beats_retry_info_which_beats_a_reset() -> None:
    reset = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s"}
    assert vendor_delay({"retry-after": "1", **reset}, used_up=OPENAI_HEADERS, retry_info="2s", now=_NOW) == 1
    assert vendor_delay(reset, used_up=OPENAI_HEADERS, retry_info="2s", now=_NOW) == 2
    assert vendor_delay(reset, used_up=OPENAI_HEADERS, now=_NOW) == 9


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        # OpenAI: durations.
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "850ms"}, 0.85),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        # The empty bucket counts, not the one that is merely not full.
        (
            {
                "x-ratelimit-remaining-requests": "4999",
                "x-ratelimit-reset-requests": "8m",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6s",
            },
            6,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6s",
            },
            20,
        ),
        # No bucket is empty: the call needed more tokens than were left.
        (
            {
                "x-ratelimit-remaining-requests": "10",
                "x-ratelimit-reset-requests": "8m",
                "x-ratelimit-remaining-tokens": "300",
                "x-ratelimit-reset-tokens": "6s",
            },
            6,
        ),
        ({"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "8m"}, None),
        # A bucket that is whole again at once is not what is waited for.
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "0s",
                "x-ratelimit-remaining-tokens": "300",
                "x-ratelimit-reset-tokens": "6s",
            },
            6,
        ),
        # Azure: whole seconds; -1 and 0 mean nothing.
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30"}, 30),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-1"}, None),
        # Anthropic: instants.
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-23T12:00:02Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2026-11-23T12:00:41Z",
            },
            41,
        ),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "yesterday"}, None),
    ],
)
def test_resets_speak_only_of_a_rate_limit(headers: dict[str, str], delay: float | None) -> None:
    known = ANTHROPIC_HEADERS if "anthropic" in next(iter(headers)) else OPENAI_HEADERS
    assert vendor_delay(headers, used_up=known, now=_NOW) == delay
    assert vendor_delay(headers, now=_NOW) is None


@pytest.mark.parametrize(
    ("reset", "delay"),
    [
        ("1s", 1),
        ("2ms", 0.002),
        ("8.64s", 8.64),
        ("1h2m3.5s", 3_723.5),
        ("24h0m0s", MAX_DELAY),
        ("25h", MAX_DELAY),
        ("1e400", MAX_DELAY),
        ("30", 30),
        ("0s", None),
        ("0", None),
        ("2026-11-23T12:00:05Z", 5),
        ("2026-11-25T12:00:00Z", MAX_DELAY),
        *(
            (nonsense, None)
            for nonsense in ("", "NaN", "nan", "-inf", "-7", "-1s", "soon", "1s!", "2026-13-01T00:00:00Z")
        ),
        *((passed, None) for passed in ("2026-11-23T11:59:59Z", "0001-01-01T00:00:00+23:59")),
    ],
)
@pytest.mark.parametrize("known", [OPENAI_HEADERS, ANTHROPIC_HEADERS], ids=["openai", "anthropic"])
def test_resets_in_all_their_spellings(known: LimitHeaders, reset: str, delay: float | None) -> None:
    _, remaining, name = known["tokens"]
    assert vendor_delay({remaining: "0", name: reset}, used_up=known, now=_NOW) == delay


def test_resets_of_a_vendor_that_names_its_limits_otherwise_are_not_looked_for() -> None:
    _, remaining, name = OPENAI_HEADERS["tokens"]
    assert vendor_delay({remaining: "0", name: "9s"}, used_up=ANTHROPIC_HEADERS, now=_NOW) is None


def test_instants_of_resets_are_measured_against_the_responses_own_clock() -> None:
    _, remaining, name = ANTHROPIC_HEADERS["tokens"]
    headers = {remaining: "0", name: "2026-11-23T12:00:02Z"}
    assert vendor_delay(headers, used_up=ANTHROPIC_HEADERS) is None
    assert vendor_delay({**headers, "date": "Mon, 23 Nov 2026 12:00:00 GMT"}, used_up=ANTHROPIC_HEADERS) == 2


def test_dates_are_measured_against_the_responses_own_clock() -> None:
    headers = {"date": "Tue, 05 Jan 2027 08:00:00 GMT", "retry-after": "Tue, 05 Jan 2027 08:00:12 GMT"}
    assert vendor_delay(headers) == 12
    del headers["date"]
    assert vendor_delay(headers) is None
