"""The first stop signal asks for an end in good order, the second hurries it."""

import signal

import pytest

from workers.cli.signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noticed_instead_of_ending_the_process(number: signal.Signals) -> None:
    with stop_signals() as stop:
        assert not stop.wanted
        signal.raise_signal(number)

        assert stop.wanted
        assert stop.wait(0)


def test_only_the_second_signal_hurries() -> None:
    hurried: list[bool] = []
    with stop_signals() as stop:
        stop.on_repeat(lambda: hurried.append(True))
        signal.raise_signal(signal.SIGINT)
        assert hurried == []

        signal.raise_signal(signal.SIGTERM)
        assert hurried == [True]


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_signals():
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before
