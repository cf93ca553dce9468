"""The vendor's meter, held against a brute-force count over all windows."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from workers.embedded.simulator import Account, MeterReport
from workers.embedded.simulator.exchange import Metered, Reason, Rejection
from workers.embedded.simulator.meter import Meter
from workers.embedded.simulator.wire.openai import duration, masked

Arrivals = list[tuple[float, int]]

ARRIVALS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0, 90.0]), st.integers(min_value=1, max_value=400)),
    min_size=1,
    max_size=25,
).map(lambda gaps: list(zip(accumulate(gap for gap, _ in gaps), (tokens for _, tokens in gaps), strict=True)))


def account(**limits: int | bool) -> Account:
    return Account.model_validate({"key": SecretStr("sk-meter"), **limits})


def worst_excess(arrivals: Arrivals, *, burst: float, per_second: float) -> float:
    """The largest amount by which any window exceeded burst + rate x window."""
    return max(
        (
            sum(amount for at, amount in arrivals if start <= at <= end) - burst - per_second * (end - start)
            for start, _ in arrivals
            for end, _ in arrivals
            if start <= end
        ),
        default=0.0,
    )


def run(arrivals: Arrivals, holder: Account) -> tuple[Arrivals, MeterReport]:
    """Send all arrivals through a meter; those that it let in, and its report."""
    now = 0.0
    meter = Meter(lambda: now)
    admitted: Arrivals = []
    for at, tokens in arrivals:
        now = at
        try:
            meter.admit(holder, "m", tokens)
        except Rejection:
            continue
        admitted.append((at, tokens))
    (report,) = meter.reports()
    return admitted, report


@settings(deadline=None)  # brute force on a busy machine
@given(ARRIVALS)
def test_no_window_lets_in_more_than_the_limit_allows(arrivals: Arrivals) -> None:
    admitted, report = run(arrivals, account(tpm=600, rpm=60, tpm_burst=500, rpm_burst=5))

    assert worst_excess(admitted, burst=500, per_second=10) <= 1e-6
    assert worst_excess([(at, 1) for at, _ in admitted], burst=5, per_second=1) <= 1e-6
    assert report.served_tokens.excess == report.served_requests.excess == 0.0


@settings(deadline=None)  # brute force on a busy machine
@given(ARRIVALS)
def test_the_worst_window_of_what_was_offered_is_found(arrivals: Arrivals) -> None:
    _, report = run(arrivals, account(tpm=600, rpm=60, tpm_burst=500, rpm_burst=5))

    assert report.offered_tokens.excess == pytest.approx(
        max(0.0, worst_excess(arrivals, burst=500, per_second=10)), abs=1e-5
    )
    assert report.offered_requests.excess == pytest.approx(
        max(0.0, worst_excess([(at, 1) for at, _ in arrivals], burst=5, per_second=1)), abs=1e-5
    )


@settings(deadline=None)  # brute force on a busy machine
@given(ARRIVALS)
def test_a_meter_that_does_not_enforce_lets_all_in_and_reports_it(arrivals: Arrivals) -> None:
    admitted, report = run(arrivals, account(tpm=600, rpm=60, tpm_burst=500, rpm_burst=5, enforce=False))

    assert admitted == arrivals
    assert report.served_tokens == report.offered_tokens


def test_waiting_as_long_as_told_is_enough() -> None:
    now = 0.0
    meter = Meter(lambda: now)
    holder = account(tpm=1_000)
    meter.admit(holder, "m", 900)

    with pytest.raises(Rejection) as caught:
        meter.admit(holder, "m", 300)
    now += caught.value.retry_after or 0.0

    assert caught.value.retry_after == pytest.approx(12.0)
    assert caught.value.hit is not None
    assert caught.value.hit.metered is Metered.TOKENS
    meter.admit(holder, "m", 300)


def test_a_request_larger_than_the_bucket_can_never_pass() -> None:
    with pytest.raises(Rejection) as caught:
        Meter(lambda: 0.0).admit(account(tpm=1_000), "m", 1_001)

    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.retry_after is None


def test_a_request_that_is_refused_still_counts_as_a_request() -> None:
    meter = Meter(lambda: 0.0)
    holder = account(rpm=2, tpm=100)
    with pytest.raises(Rejection):
        meter.admit(holder, "m", 101)

    assert meter.read(holder, "m").requests.remaining == 1


def test_limits_are_kept_per_key_and_model() -> None:
    meter = Meter(lambda: 0.0)
    meter.admit(account(tpm=100), "a", 100)
    meter.admit(account(tpm=100), "b", 100)
    meter.admit(Account(key=SecretStr("sk-other"), tpm=100), "a", 100)

    assert len(list(meter.reports())) == 3


def test_a_changed_limit_holds_at_once() -> None:
    meter = Meter(lambda: 0.0)
    meter.admit(account(tpm=1_000), "m", 100)

    with pytest.raises(Rejection):
        meter.admit(account(tpm=500), "m", 501)
    assert meter.read(account(tpm=500), "m").tokens.limit == 500


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0ms"), (0.059, "59ms"), (1, "1s"), (1.2, "1.2s"), (9.8161, "9.817s"), (360, "6m0s"), (3_661.5, "1h1m1.5s")],
)
def test_durations_read_as_the_vendor_writes_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("key", "shown"), [("sk-abcdefghijklmnop", "sk-abcde*******mnop"), ("short", "*****")])
def test_keys_are_masked_as_the_vendor_does(key: str, shown: str) -> None:
    assert masked(key) == shown
