"""What is said at the end of a long run."""

from typing import Any

from tests.chaos.report import Report
from tests.chaos.summary import Summary


def report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "seed": 7,
        "jobs": 100,
        "steps": 5,
        "seconds": 100.0,
        "traffic_seconds": 90.0,
        "watched": True,
        "faults": {"kill": 2, "provider": 3, "kill at ending": 1},
        "struck": 10,
        "endings": {"succeeded": 100},
        "repeats": 1,
        "refused": 0,
        "attempts": 110,
        "tokens": 1_000,
        "cost_usd": "0.1",
        "settled": 100,
        "unheard": 1,
        "lost": 2,
        "settled_by_provider": {"openai": 100},
        "silent_tokens": 30,
        "written_off": 3,
        "agreed": 7,
        "lost_for_good": 0,
        "double_counted": 0,
        "leaks": 0,
        "problems": (),
        "folder": "/tmp/x",  # noqa: S108 - a name
    }
    return Report(**fields | changes)


def test_the_figures_of_all_rounds_are_their_sums() -> None:
    wrong = report(lost_for_good=1, double_counted=2, leaks=3, problems=("job 1 has no end",), faults={"clock": 4})

    assert Summary.of([report(), wrong]) == Summary(
        rounds=2,
        minutes=3.0,
        jobs=200,
        faults={"clock": 4, "kill at ending": 1, "kill": 2, "provider": 3},
        faults_injected=10,
        kills=3,
        struck=20,
        lost=1,
        double_counted=2,
        leaks=3,
        wrong=1,
    )


def test_what_must_be_nought_is_said_in_so_many_words() -> None:
    assert Summary.of([report()]).lines == (
        "1 rounds, 1.5 minutes of traffic, 100 jobs",
        "6 faults injected (3 kills): 2 kill, 1 kill at ending, 3 provider; 10 requests spoilt",
        "0 lost, 0 double-counted, 0 leaks",
    )


def test_a_round_is_played_again_as_it_was() -> None:
    command = "python -m tests.chaos --seed 7 --jobs 100 --steps 5"

    assert report().again == command
    assert report(watched=False).again == f"{command} --no-watched"
