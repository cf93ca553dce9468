"""The verdict sees what it is there to see: each test spoils one thing of a run in which all was well."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from tests.chaos.evidence import Evidence, JobSeen
from tests.chaos.stage import Death, Link
from tests.chaos.verdict import Tally, reconcile, table_of, tally, verdict
from tests.ledger import NOW, usage_record
from workers.embedded.simulator import Entry
from workers.embedded.simulator.exchange import Usage

AT = NOW.timestamp()
LINK = Link(project="acme", connection="primary", provider=ProviderKind.OPENAI, role=Role.PRIMARY)


def record(call: str, **changes: Any) -> AttemptRecord:
    return usage_record(call, **{"job_id": "j1", "usage": TokenUsage(input=10, output=2), **changes})


def silent(call: str, **changes: Any) -> AttemptRecord:
    """An attempt whose answer never came."""
    fields = {"request_id": None, "usage": TokenUsage(), "cost_usd": None, "status": "provider_timeout"}
    return record(call, **{**fields, **changes})


def entry(call: str, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "time": AT + 0.1,
        "vendor": "openai",
        "path": "/",
        "key": "key",
        "served": True,
        "usage": Usage(input=10, output=2),
        "request_id": f"req-{call}",
        "tags": {"job": "j1", "attempt": "1.1.1"},
    }
    return Entry(**{**fields, **changes})


def seen(**changes: Any) -> JobSeen:
    one = JobSeen(
        number=1,
        project="acme",
        ids=frozenset({"j1"}),
        states={"j1": "SUCCESS"},
        statuses={"j1": "succeeded"},
        endings={"j1": "succeeded"},
    )
    return replace(one, **changes)


def evidence(**changes: Any) -> Evidence:
    """A run in which all was well: a call that was answered, one that timed out, and one that was lost."""
    records = (
        record("a", attempt="1.1.3"),
        silent("b", attempt="1.1.1"),
        silent("c", attempt="1.1.2", status="lost", latency_ms=0),
    )
    entries = (
        entry("a", tags={"job": "j1", "attempt": "1.1.3"}),
        entry("b"),
        entry("c", time=AT + 40, tags={"job": "j1", "attempt": "1.1.2"}),
        entry("d", served=False, usage=Usage(), status=429),
    )
    well = Evidence(
        jobs=(seen(),),
        entries=entries,
        links={"key": LINK},
        records=records,
        tables={"a page": table_of(records)},
        counted={"worker 0": (3, 3, 3)},
        interruptions=(Death(at=AT + 50, worker=0, how="kill"),),
        lasted=(AT - 10, AT + 60),
        in_hand=10,
        left={},
        spilled=(),
    )
    return replace(well, **changes)


def test_a_run_in_which_all_was_well_has_no_problems() -> None:
    assert verdict(evidence()) == []
    reconciled = reconcile(evidence())
    assert (reconciled.settled.total(), len(reconciled.unheard), len(reconciled.lost)) == (1, 1, 1)
    assert reconciled.unheard_usage == Usage(input=20, output=4)


def of_records(change: Callable[[list[AttemptRecord]], object]) -> Callable[[Evidence], Evidence]:
    def spoil(well: Evidence) -> Evidence:
        records = list(well.records)
        change(records)
        return replace(well, records=records, tables={})

    return spoil


def of_entries(change: Callable[[list[Entry]], object]) -> Callable[[Evidence], Evidence]:
    def spoil(well: Evidence) -> Evidence:
        entries = list(well.entries)
        change(entries)
        return replace(well, entries=entries)

    return spoil


def of_job(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda well: replace(well, jobs=(seen(**changes),))


SPOILT: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "job without an end": (of_job(states={"j1": "STARTED"}), "has no final state but STARTED"),
    "job never enqueued": (of_job(ids=frozenset()), "was never enqueued"),
    "job that ran twice": (
        of_job(
            ids=frozenset({"j1", "j2"}),
            states={"j1": "SUCCESS", "j2": "SUCCESS"},
            statuses={"j1": "succeeded", "j2": "succeeded"},
            endings={"j1": "succeeded", "j2": "succeeded"},
        ),
        "ran under 2 ids instead of one",
    ),
    "two ends": (of_job(endings={"j1": "partial"}), "in the results and partial in its working state"),
    "no end in the working state": (of_job(endings={}), "its working state holds no ending"),
    "duplicate of a stranger": (
        of_job(ids=frozenset({"j1", "j2"}), states={"j1": "SUCCESS", "j2": "SUCCESS"}, points_to={"j2": "x"}),
        "which is another job",
    ),
    "forgotten call": (of_records(lambda records: records.pop(0)), "the ledger knows nothing of it"),
    "forgotten timeout": (of_records(lambda records: records.pop(1)), "the ledger knows nothing of it"),
    "forgotten loss": (of_records(lambda records: records.pop(2)), "the ledger knows nothing of it"),
    "a token too many": (
        of_records(lambda records: records.__setitem__(0, record("a", usage=TokenUsage(input=11, output=2)))),
        "input tokens: the vendors billed 30; the ledger has 11",
    ),
    "call made up": (of_records(lambda records: records.append(record("x"))), "which no vendor billed"),
    "call counted twice": (
        of_records(lambda records: records.append(record("y", request_id="req-a"))),
        "call req-a is in the ledger 2 times",
    ),
    "record written twice": (of_records(lambda records: records.append(records[1])), "is in the ledger 2 times"),
    "another project pays": (
        of_records(lambda records: records.__setitem__(0, record("a", project="other"))),
        "is in the ledger of other/primary",
    ),
    "silence of another job": (
        of_entries(lambda entries: entries.__setitem__(1, entry("b", tags={"job": "j2", "attempt": "1.1.1"}))),
        "the ledger knows nothing of it",
    ),
    "silence before the call": (
        of_entries(lambda entries: entries.__setitem__(1, entry("b", time=AT - 1))),
        "the ledger knows nothing of it",
    ),
    "silence long after the call": (
        of_entries(lambda entries: entries.__setitem__(1, entry("b", time=AT + 60))),
        "the ledger knows nothing of it",
    ),
    "one silence for two calls": (of_entries(lambda entries: entries.append(entry("b"))), "knows nothing of it"),
    "call with a stranger's key": (of_entries(lambda entries: entries.append(entry("z", key="?"))), "no project's"),
    "loss without a death": (lambda well: replace(well, interruptions=()), "no worker died after it began"),
    "loss after the last death": (
        lambda well: replace(well, interruptions=(Death(at=AT - 1, worker=0, how="kill"),)),
        "no worker died after it began",
    ),
    "a date before the run": (
        of_records(lambda records: records.__setitem__(0, record("a", started_at=NOW - timedelta(minutes=5)))),
        "is dated -290.0 s outside of the run",
    ),
    "a date after the run": (lambda well: replace(well, lasted=(AT - 10, AT - 5)), "is dated +5.0 s outside"),
    "more losses than were in hand": (lambda well: replace(well, in_hand=0), "account for 0 at most"),
    "another sum": (
        lambda well: replace(well, tables={"a page": {("acme", "openai"): Counter(attempts=4)}}),
        "a page shows for acme on openai: attempts 4 instead of 3",
    ),
    "sums of nobody": (
        lambda well: replace(well, tables={"a page": {**well.tables["a page"], ("x", "y"): Counter(output=1)}}),
        "a page shows for x on y: output 1 instead of 0",
    ),
    "missing sums": (lambda well: replace(well, tables={"a page": {}}), "nothing at all"),
    "uncounted attempt": (lambda well: replace(well, counted={"worker 0": (2, 3, 4)}), "have counted 2 attempts"),
    "something left": (lambda well: replace(well, left={"byom.unacked": "a hash"}), "left behind: byom.unacked"),
    "a secret": (lambda well: replace(well, spilled=("a log",)), "is in a log"),
    "a worker that crashed": (lambda well: replace(well, surprises=("worker 0 ended by itself",)), "by itself"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_told(what: str) -> None:
    spoil, told = SPOILT[what]

    problems = verdict(spoil(evidence()))

    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("job without an end", Tally(lost=1, doubled=0, leaks=0)),
        ("job never enqueued", Tally(lost=1, doubled=0, leaks=0)),
        ("forgotten call", Tally(lost=1, doubled=0, leaks=0)),
        ("forgotten timeout", Tally(lost=1, doubled=0, leaks=0)),
        ("job that ran twice", Tally(lost=0, doubled=1, leaks=0)),
        ("call counted twice", Tally(lost=0, doubled=1, leaks=0)),
        ("call made up", Tally(lost=0, doubled=1, leaks=0)),
        ("something left", Tally(lost=0, doubled=0, leaks=1)),
        ("a secret", Tally(lost=0, doubled=0, leaks=1)),
        ("another sum", Tally(lost=0, doubled=0, leaks=0)),
    ],
)
def test_the_worst_is_counted(what: str, expected: Tally) -> None:
    assert tally(evidence()) == Tally(lost=0, doubled=0, leaks=0)
    assert tally(SPOILT[what][0](evidence())) == expected


def test_of_many_problems_the_first_are_told_and_the_others_counted() -> None:
    problems = verdict(evidence(left={f"key {number}": "a list" for number in range(30)}))

    assert len(problems) == 11
    assert problems[-1] == "… and 20 more of this kind"


def test_calls_without_tags_are_matched_by_time_so_that_as_many_fit_as_can() -> None:
    # The lost attempt fits both calls, the one that timed out the first only.
    records = (
        silent("lost", status="lost", started_at=NOW, latency_ms=0),
        silent("timeout", started_at=NOW + timedelta(seconds=1), latency_ms=100),
    )
    entries = (entry("x", tags={}, time=AT + 1.05), entry("y", tags={}, time=AT + 30))

    assert reconcile(evidence(records=records, entries=entries)).problems == []
