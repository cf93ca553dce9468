"""The verdict on a run: pure checks of what is known afterwards. Each says what is wrong, or nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from config.prices import PICO
from tasks.contract import AttemptRecord, TokenUsage
from tests.chaos.evidence import Evidence, JobSeen, Sums, Table
from workers.embedded.simulator import Entry
from workers.embedded.simulator.exchange import Usage

KINDS: Final = tuple(TokenUsage.model_fields)
#: Seconds that a request may need from the worker's clock to the simulator's entry, on a machine that is busy.
_ON_ITS_WAY: Final = 5.0
#: Seconds by which a worker may be wrong about the broker's time.
_CLOCKS: Final = 0.5
#: Problems of one kind that are told one by one.
_TOLD: Final = 10

_FINAL: Final = frozenset({"SUCCESS", "FAILURE"})


@dataclass(slots=True)
class Reconciled:
    """The vendors' books beside the ledger."""

    #: Calls that both know, by the vendor's name of the call, with equal tokens; by kind of provider.
    settled: Counter[str] = field(default_factory=Counter)
    #: Billed calls whose answer never came; the ledger has their attempts, without tokens.
    unheard: list[Entry] = field(default_factory=list)
    #: Billed calls that were under way when their worker died; the ledger has them as lost, without tokens.
    lost: list[Entry] = field(default_factory=list)
    #: Billed calls of which the ledger knows nothing, and what it knows too often or of nobody.
    unknown: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def unheard_usage(self) -> Usage:
        """Tokens that vendors billed and never told of."""
        return sum((entry.usage for entry in (*self.unheard, *self.lost)), Usage())


def verdict(evidence: Evidence) -> list[str]:
    """Everything that is wrong with a run."""
    checks: tuple[Callable[[Evidence], Iterable[str]], ...] = (
        surprises,
        unfinished,
        unequal_books,
        unequal_tables,
        unequal_counts,
        unexplained_losses,
        misdated,
        left_behind,
        spilled,
    )
    return [problem for check in checks for problem in _few(check(evidence))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What must be 0 after every run."""

    #: Jobs without an end, and billed calls of which the ledger knows nothing.
    lost: int
    #: Jobs that ran twice, and calls that are in the ledger twice, or that nobody made.
    doubled: int
    #: What was left behind, and what was seen where it must not be.
    leaks: int


def tally(evidence: Evidence) -> Tally:
    """The worst of what can be wrong with a run, in numbers."""
    reconciled = reconcile(evidence)
    endless = sum(not job.ids or any(job.states.get(name) not in _FINAL for name in job.ids) for job in evidence.jobs)
    twice = sum(len(job.ids - job.points_to.keys()) > 1 for job in evidence.jobs)
    return Tally(
        lost=endless + reconciled.unknown,
        doubled=twice + reconciled.doubled,
        leaks=len(evidence.left) + len(evidence.spilled),
    )


def surprises(evidence: Evidence) -> Iterable[str]:
    """The run itself went as planned."""
    return evidence.surprises


def unfinished(evidence: Evidence) -> Iterator[str]:
    """Every job has exactly one final state, and all who tell it say the same."""
    for job in evidence.jobs:
        yield from _of_job(job)


def _of_job(job: JobSeen) -> Iterator[str]:
    who = f"job {job.number} of {job.project} ({', '.join(sorted(job.ids))})"
    if not job.ids:
        yield f"{who}: was never enqueued"
    firsts = [name for name in job.ids if name not in job.points_to]
    if job.ids and len(firsts) != 1:
        yield f"{who}: ran under {len(firsts)} ids instead of one"
    for name in sorted(job.ids):
        state = job.states.get(name, "unknown")
        if state not in _FINAL:
            yield f"{who}: has no final state but {state}"
        elif name in firsts and job.endings.get(name) is None:
            yield f"{who}: ended {job.statuses.get(name)}, but its working state holds no ending"
        elif name in firsts and job.endings[name] != job.statuses[name]:
            yield f"{who}: ended {job.statuses[name]} in the results and {job.endings[name]} in its working state"
    for name, first in job.points_to.items():
        if first not in firsts:
            yield f"{who}: {name} points to {first}, which is another job"


def unequal_books(evidence: Evidence) -> Iterator[str]:
    """The ledger equals the vendors' books to the token; what they billed and did not tell is accounted for."""
    reconciled = reconcile(evidence)
    yield from reconciled.problems
    billed = sum((entry.usage for entry in evidence.entries if entry.served), Usage())
    ledger = sum((record.usage for record in evidence.records), TokenUsage())
    silent = reconciled.unheard_usage
    for kind in KINDS:
        told = getattr(ledger, kind)
        if getattr(billed, kind) != told + getattr(silent, kind):
            yield (
                f"{kind} tokens: the vendors billed {getattr(billed, kind)}; the ledger has {told}, "
                f"and {getattr(silent, kind)} are of calls whose answers never came"
            )


def reconcile(evidence: Evidence) -> Reconciled:
    """Match each call that was billed with one record of the ledger, one to one.

    A call whose answer came is matched by the vendor's name of it. One whose answer never came has a record without
    such a name and without tokens: of the same connection, of the same job and attempt where the vendor's format has
    room for tags, and begun before the vendor met it.
    """
    repeated = _repeated(evidence.records)
    result = Reconciled(problems=list(repeated), doubled=len(repeated))
    answered = {record.request_id: record for record in evidence.records if record.request_id is not None}
    without = _Silent(record for record in evidence.records if record.request_id is None and not record.usage.total)
    billed = sorted((entry for entry in evidence.entries if entry.served), key=lambda entry: entry.time)
    for entry in billed:
        link = evidence.links.get(entry.key or "")
        if link is None:
            result.problems.append(f"a call was billed to a key that is no project's: {entry.request_id}")
            continue
        place = (link.project, link.connection)
        where = f"{link.project}/{link.connection}: call {entry.request_id}"
        if (record := answered.get(entry.request_id)) is not None:
            if (problem := _different(record, entry, place)) is None:
                result.settled[link.provider] += 1
            else:
                result.problems.append(f"{where} {problem}")
        elif (silent := without.take(entry, place)) is not None:
            (result.lost if silent.status == LOST else result.unheard).append(entry)
        else:
            result.unknown += 1
            result.problems.append(
                f"{where} was billed ({entry.usage.total} tokens, job {entry.tags.get('job', '?')}, attempt "
                f"{entry.tags.get('attempt', '?')}, fault {entry.fault}, delivered {entry.delivered}, at "
                f"{entry.time:.3f}), and the ledger knows nothing of it"
            )
    known = {entry.request_id for entry in billed}
    made_up = [
        f"{record.project}/{record.connection}: the ledger has {record.usage.total} tokens for attempt "
        f"{record.attempt} of job {record.job_id}, which no vendor billed"
        for record in evidence.records
        if record.usage.total and record.request_id not in known
    ]
    result.doubled += len(made_up)
    result.problems += made_up
    return result


def _repeated(records: Sequence[AttemptRecord]) -> list[str]:
    """Records and calls that are in the ledger more than once."""
    ids = Counter(record.id for record in records)
    calls = Counter(record.request_id for record in records if record.request_id is not None)
    return [
        f"{what} {name} is in the ledger {times} times"
        for what, found in (("record", ids), ("call", calls))
        for name, times in found.items()
        if times > 1
    ]


def _different(record: AttemptRecord, entry: Entry, place: tuple[str, str]) -> str | None:
    """In what the ledger differs from the vendor about a call whose answer came."""
    if (record.project, record.connection) != place:
        return f"is in the ledger of {record.project}/{record.connection}"
    if _tokens(record.usage) != _tokens(entry.usage):
        return f"was billed as {entry.usage}, and is in the ledger as {record.usage!r}"
    return None


#: Status of an attempt that was under way when its worker died.
LOST: Final = "lost"


class _Silent:
    """Records of attempts without an answer, each to be matched once."""

    def __init__(self, records: Iterable[AttemptRecord]) -> None:
        self._by_place: dict[tuple[str, str], list[AttemptRecord]] = defaultdict(list)
        for record in records:
            self._by_place[record.project, record.connection].append(record)
        # The one that fits no later call comes first: so as many are matched as can be.
        for among in self._by_place.values():
            among.sort(key=_ended)

    def take(self, entry: Entry, place: tuple[str, str]) -> AttemptRecord | None:
        """The record that speaks of a call; None if there is none. Calls are to come in order of time."""
        among = self._by_place[place]
        for position, record in enumerate(among):
            if _fits(record, entry):
                return among.pop(position)
        return None


def _ended(record: AttemptRecord) -> float:
    """When an attempt without an answer was over at the latest; of a lost one that is not known."""
    return float("inf") if record.status == LOST else record.started_at.timestamp() + record.latency_ms / 1000


def _fits(record: AttemptRecord, entry: Entry) -> bool:
    """Whether a record may speak of a call, by the tags that the vendor's format has room for, and by time."""
    tags = entry.tags
    return (
        tags.get("job", record.job_id) == record.job_id
        # Google takes no dots.
        and tags.get("attempt", record.attempt).replace("_", ".") == record.attempt
        and record.started_at.timestamp() - _CLOCKS <= entry.time <= _ended(record) + _ON_ITS_WAY
    )


def unequal_tables(evidence: Evidence) -> Iterator[str]:
    """Whoever shows the ledger shows the same sums, to the token and the pico-dollar."""
    truth = table_of(evidence.records)
    for name, table in evidence.tables.items():
        for place in sorted(truth.keys() | table.keys()):
            mine, its = truth.get(place, Counter()), table.get(place, Counter())
            different = [
                f"{field} {its[field]} instead of {mine[field]}" for field in sorted(its) if its[field] != mine[field]
            ]
            if place not in table:
                different = ["nothing at all"]
            if different:
                yield f"{name} shows for {' on '.join(place)}: {', '.join(different)}"


def unequal_counts(evidence: Evidence) -> Iterator[str]:
    """A worker's metrics count what its log tells, since it was started."""
    for worker, (by_metrics, least, most) in evidence.counted.items():
        if not least <= by_metrics <= most:
            yield f"{worker}: its metrics have counted {by_metrics} attempts, and its log tells of {least} to {most}"


def unexplained_losses(evidence: Evidence) -> Iterator[str]:
    """Each lost attempt began before a worker was torn from its work, and no more were lost than it had in hand."""
    lost = sorted((record for record in evidence.records if record.status == LOST), key=lambda one: one.started_at)
    last = max((one.at for one in evidence.interruptions), default=float("-inf"))
    for record in lost:
        if record.started_at.timestamp() > last:
            yield f"attempt {record.attempt} of job {record.job_id} is lost, and no worker died after it began"
    most = len(evidence.interruptions) * evidence.in_hand
    if len(lost) > most:
        yield f"{len(lost)} attempts are lost; {len(evidence.interruptions)} interruptions account for {most} at most"


def misdated(evidence: Evidence) -> Iterator[str]:
    """Every attempt is dated within the run, whatever the clocks of workers showed."""
    first, last = evidence.lasted
    for record in evidence.records:
        off = record.started_at.timestamp() - (first if record.started_at.timestamp() < first else last)
        if not first - _CLOCKS <= record.started_at.timestamp() <= last + _CLOCKS:
            yield f"attempt {record.attempt} of job {record.job_id} is dated {off:+.1f} s outside of the run"


def table_of(records: Iterable[AttemptRecord]) -> Table:
    """Sums by project and provider."""
    table: defaultdict[tuple[str, str], Sums] = defaultdict(Counter)
    for record in records:
        table[record.project, str(record.provider)].update(
            attempts=1,
            failed=int(record.status != "ok"),
            cost_pico=int(Decimal(record.cost_usd or 0) * PICO),
            **record.usage.model_dump(),
        )
    return table


def left_behind(evidence: Evidence) -> Iterator[str]:
    """Nothing is kept for jobs that are over but what is meant to be."""
    for name, what in evidence.left.items():
        yield f"left behind: {name}: {what}"


def spilled(evidence: Evidence) -> Iterator[str]:
    """No secret and no episode text is where it must not be."""
    for place in evidence.spilled:
        yield f"something that must not be seen is in {place}"


def _tokens(usage: Usage | TokenUsage) -> Mapping[str, int]:
    return {kind: getattr(usage, kind) for kind in KINDS}


def _few(problems: Iterable[str]) -> Sequence[str]:
    """The first of many, and how many more there are."""
    told = list(problems)
    more = len(told) - _TOLD
    return told if more <= 0 else [*told[:_TOLD], f"… and {more} more of this kind"]
