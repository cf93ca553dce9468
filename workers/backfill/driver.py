"""Drives a backfill: lines of a file become jobs, a bounded number of them in flight; endings become lines of the sink.

Each step: hear what is wanted ─► write what has ended, note it as done ─► read lines, note them as in flight, publish.

Every effect may be the last one before a crash. So lines are noted as in flight before they are published, and as done
after they are in the sink; whoever drives next publishes again what may not be with the broker (its id is the same, so
nothing runs twice), and the sink cuts off what was written and not noted.

How it learns of endings: workers put them into the backfill's inbox (`workers.backfill.inbox`). Reading it costs one
command for all that is new, however many are in flight, where asking the result backend costs an answer for each job
each time. And results expire after a day, while the inbox keeps what ended during a pause of a week; it takes endings
of jobs in flight only, so the window bounds it. Endings that came about past the engine, such as when an operator
revokes a job, are found by a look at the result backend every few seconds.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, islice
from typing import Final

from tasks.contract import ExtractionJob, Failure, FailureCode
from workers.backfill.budget import affordable, why_at_budget
from workers.backfill.entries import BadLine, Entry
from workers.backfill.flying import flight_of, groups_of, invalid_ending, job_of, known_ending, went_well
from workers.backfill.lines import rows, sums_of
from workers.backfill.ports import Known, NoRoom, ProjectRefused, Publisher, Refused, Results, Source
from workers.backfill.sinks.base import Sink
from workers.backfill.state.base import BackfillState, Flight, Lease, Orders, Phase, Snapshot
from workers.clock import Clock
from workers.jobs import Ending

#: Jobs that one step publishes, and endings that it writes: what it holds in memory.
BATCH: Final = 200
#: Seconds between looks at the result backend.
LOOK: Final = 10.0
#: Seconds until jobs for which there was no room are sent again.
ROOM: Final = 2.0
#: Seconds between noting a job as done and letting go of its result: by then its worker has stored it.
LET_GO: Final = 20.0
#: Parts of the window in which lines are read that may share prompts.
_BITES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step did."""

    #: Lines read.
    read: int = 0
    #: What is wanted, as it was heard at its beginning.
    orders: Orders
    #: Whether there is nothing more to be done.
    over: bool = False
    #: Whether there was nothing to do.
    idle: bool = True


class Driver:
    """Drives one backfill for whoever holds its lease."""

    def __init__(
        self,
        state: BackfillState,
        lease: Lease,
        *,
        source: Source,
        publisher: Publisher,
        results: Results,
        sink: Sink,
        clock: Clock,
        completed: Callable[[Snapshot], None],
        forgotten_after: float,
        batch: int = BATCH,
    ) -> None:
        """Take what driving needs; `recover` comes first.

        Args:
            state: of the backfill.
            lease: leave to drive.
            source: its file.
            publisher: publishes jobs.
            results: the result backend.
            sink: where results go.
            clock: the time.
            completed: told once all is done, before that is noted; may be told again after a crash.
            forgotten_after: seconds after which a job in flight of which nothing is known runs again: it may have
                waited so long, and its result may have expired.
            batch: jobs of one step.
        """
        self._state = state
        self._lease = lease
        self._source = source
        self._publisher = publisher
        self._results = results
        self._sink = sink
        self._clock = clock
        self._completed = completed
        self._forgotten_after = forgotten_after
        self._batch = batch
        self._flights: dict[str, Flight] = {}
        #: Jobs in flight that may not be with the broker.
        self._unpublished: dict[str, ExtractionJob | BadLine] = {}
        self._lines: Iterator[Entry | BadLine] = iter(())
        self._at_end = False
        self._look_at = self._send_at = 0.0
        #: When to let go of the results of which jobs.
        self._done: deque[tuple[float, list[str]]] = deque()
        self.sums: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Lines in flight."""
        return sum(len(flight.lines) for flight in self._flights.values())

    def recover(self) -> None:
        """Go on where the state says, whoever drove before; also after the broker was away."""
        snapshot = self._state.load()
        self._definition = snapshot.definition
        self._over = snapshot.over
        self.sums = Counter(snapshot.sums)
        self._read = snapshot.read
        self._flights = {flight.job_id: flight for flight in self._state.flights()}
        self._sink.open(snapshot.sink)
        self._unpublished = {}
        self._done.clear()
        if snapshot.orders.phase is not Phase.CANCELLED and (doubtful := self._in_doubt()):
            self._again(doubtful, sums={})
        self._lines, self._at_end = self._source.read(after=self._read), False
        # What ended past the inbox while nobody drove is looked for at once.
        self._look_at, self._send_at = self._clock.monotonic(), self._clock.monotonic()

    def step(self) -> Step:
        """Do what there is to be done now.

        Raises:
            Fenced: another process took over.
            SourceError, SinkError: the file cannot be read, or the sink not be written.
            redis.RedisError: the broker is away: `recover` when it is back.
        """
        orders = self._renew()
        if self._over:
            return Step(orders=orders, over=True)
        if orders.phase is Phase.CANCELLED:
            self._end_all()
        elif self._clock.monotonic() >= self._look_at:
            self._look()
        written = self._collect()
        self._let_go()
        read = self._fill(orders) if orders.phase is Phase.RUNNING else 0
        if not self._flights and orders.phase is not Phase.PAUSED:
            self._over = self._at_end or orders.phase is Phase.CANCELLED
            if self._over:
                self._wind_up(orders)
        return Step(read=read, orders=orders, over=self._over, idle=not read and not written)

    def _renew(self) -> Orders:
        orders = self._state.renew(self._lease)
        self._renewed_at = self._clock.monotonic()
        return orders

    # What has ended

    def _collect(self) -> int:
        """Write what has ended to the sink, and note it as done; how many lines."""
        endings = self._next_endings()
        if self._clock.monotonic() - self._renewed_at > self._lease.seconds / 2:
            # The sink knows nothing of leases: nobody writes to it who may have lost his.
            self._renew()
        sums: Counter[str] = Counter()
        written = 0
        for job_id, ending in endings.items():
            lines = list(rows(self._flights[job_id], ending))
            self._sink.append(lines)
            written += len(lines)
            sums.update(sums_of(self._flights[job_id], ending))
        if endings:
            self._state.commit(self._lease, list(endings), sink=self._sink.sync(), sums=sums)
            self.sums.update(sums)
            good = [job_id for job_id, ending in endings.items() if went_well(ending)]
            self._done.append((self._clock.monotonic() + LET_GO, [job_id for job_id in good if self._once(job_id)]))
            for job_id in endings:
                del self._flights[job_id]
                self._unpublished.pop(job_id, None)
        return written

    def _once(self, job_id: str) -> bool:
        """Whether one message of a job is all there is: another may come much later, and must find all as it was."""
        return not self._flights[job_id].again

    def _let_go(self, *, whole: bool = False) -> None:
        """Let go of results that are in the sink. What a crash leaves behind expires by itself."""
        while self._done and (whole or self._done[0][0] <= self._clock.monotonic()):
            _, job_ids = self._done.popleft()
            if self._definition.out is not None:
                self._results.forget(dict.fromkeys(job_ids, self._definition.project))

    def _next_endings(self) -> dict[str, Ending]:
        if not self._definition.ordered:
            found: Iterable[tuple[str, str | None]] = self._state.ended(self._batch)
        else:
            # Those in flight are in the order of the file, and only the first ones may be written.
            first = list(islice(self._flights, self._batch))
            found = zip(first, self._state.endings_of(first), strict=True)
        endings: dict[str, Ending] = {}
        for job_id, text in found:
            if text is None:
                break
            endings[job_id] = Ending.parse(text)
        return endings

    def _look(self) -> None:
        """Ask the result backend for endings that came about past the inbox, and run again what is lost."""
        self._look_at = self._clock.monotonic() + LOOK
        waiting = [job_id for job_id in self._flights if job_id not in self._unpublished]
        lost: list[Flight] = []
        for first in range(0, len(waiting), self._batch):
            some = waiting[first : first + self._batch]
            known = self._results.look(some)
            inbox = self._state.endings_of(some)
            for job_id, there in zip(some, inbox, strict=True):
                if there is not None:
                    continue
                text = known.get(job_id)
                if text is not None:
                    self._state.put(job_id, text)
                elif job_id not in known and self._clock.now().timestamp() > self._expiry(job_id):
                    lost.append(self._flights[job_id])
        if lost:
            self._run_again(lost)

    def _expiry(self, job_id: str) -> float:
        return self._flights[job_id].since + self._forgotten_after

    def _run_again(self, lost: Sequence[Flight]) -> None:
        """How these ended is not known any more."""
        count = {"rerun": len(lost)}
        self._again(lost, sums=count)
        self.sums.update(count)

    def _again(self, flights: Sequence[Flight], *, sums: Mapping[str, int]) -> None:
        """Have jobs published that may have been published before."""
        now = self._clock.now().timestamp()
        again = [replace(flight, since=now, published=False, again=True) for flight in flights]
        # That their ids are among those seen twice from now on costs 16 bytes each.
        self._state.reserve(self._lease, again, read=self._read, sums=sums)
        self._flights.update((flight.job_id, flight) for flight in again)
        self._reread(again)

    def _end_all(self) -> None:
        """The backfill was cancelled: what is in flight ends now, and what of it had ended keeps its ending."""
        waiting = [
            job_id
            for job_id, text in zip(self._flights, self._state.endings_of(list(self._flights)), strict=True)
            if text is None
        ]
        failure = Failure(
            code=FailureCode.CANCELLED,
            message=f"backfill '{self._definition.name}' was cancelled before this was done",
            project=self._definition.project,
        )
        for first in range(0, len(waiting), self._batch):
            some = waiting[first : first + self._batch]
            for job_id, text in zip(some, self._publisher.end(some, failure), strict=True):
                self._state.put(job_id, text)

    # What is to begin

    def _fill(self, orders: Orders) -> int:
        """Take lines in hand, as far as window and budget allow; how many lines were read."""
        if self._unpublished and self._clock.monotonic() >= self._send_at:
            self._publish(dict(islice(self._unpublished.items(), self._batch)))
        room = min(self._batch, orders.window - self.in_flight)
        if self._unpublished or room < self._bite(orders.window) or self._at_end:
            return 0
        if orders.budget is not None:
            left = affordable(
                orders.budget,
                self.sums,
                in_flight=len(self._flights),
                expected=self._definition.expected_cost,
                at_once=self._definition.economy or self._definition.pack_tokens is not None,
            )
            room = min(room, left)
            if room <= 0:
                self._at_budget(orders.budget)
                return 0
        read = list(islice(self._lines, room))
        self._at_end = len(read) < room
        if read:
            self._take(read)
        return len(read)

    def _bite(self, window: int) -> int:
        """Lines that there must be room for before any are read: what is read together can share prompts."""
        return 1 if self._definition.pack_tokens is None else max(1, min(self._batch, window // _BITES))

    def _take(self, read: Sequence[Entry | BadLine]) -> None:
        """Take lines in hand and publish them."""
        ids = list(dict.fromkeys(line.id for line in read if isinstance(line, Entry)))
        fresh = {entry for entry, new in zip(ids, self._state.unseen(ids), strict=True) if new} if ids else set()
        new: list[Entry | BadLine] = []
        for line in read:
            if isinstance(line, BadLine):
                new.append(line)
            elif line.id in fresh:
                fresh.discard(line.id)
                new.append(line)
        sums = Counter(lines=len(read), duplicates=len(read) - len(new))
        now = self._clock.now().timestamp()
        flights: list[Flight] = []
        jobs: dict[str, ExtractionJob | BadLine] = {}
        for group in groups_of(new):
            flight = flight_of(self._definition.name, group, now)
            flights.append(flight)
            jobs[flight.job_id] = job_of(group)
        self._state.reserve(self._lease, flights, read=read[-1].number, sums=sums)
        self._read = read[-1].number
        self.sums.update(sums)
        self._flights.update((flight.job_id, flight) for flight in flights)
        self._unpublished.update(jobs)
        if jobs:
            self._publish(jobs)

    def _publish(self, jobs: Mapping[str, ExtractionJob | BadLine]) -> None:
        """Publish jobs in flight; those that cannot run end at once."""
        sent: list[str] = []
        for job_id, line in jobs.items():
            if isinstance(line, BadLine):
                self._end(job_id, invalid_ending(line, self._definition.project))
                sent.append(job_id)
        good = [(job_id, job) for job_id, job in jobs.items() if isinstance(job, ExtractionJob)]
        for (job_id, job), answer in zip(good, self._publisher.publish(good) if good else (), strict=True):
            match answer:
                case NoRoom():
                    self._send_at = self._clock.monotonic() + ROOM
                    continue
                case ProjectRefused(message=message):
                    self._pause(f"no job can be enqueued: {message}")
                    continue
                case Known(job_id=elsewhere):
                    self._end(job_id, known_ending(job_id, job, elsewhere))
                case Refused(failure=failure):
                    self._end(job_id, Ending(failure=failure))
            sent.append(job_id)
        self._state.published(self._lease, sent)
        for job_id in sent:
            del self._unpublished[job_id]
            self._flights[job_id] = replace(self._flights[job_id], published=True)

    def _end(self, job_id: str, ending: Ending) -> None:
        self._state.put(job_id, ending.model_dump_json(exclude_none=True))

    def _in_doubt(self) -> list[Flight]:
        """Jobs that may not be with the broker: they were not noted as published, and show no sign of life."""
        doubtful = [flight for flight in self._flights.values() if not flight.published]
        ids = [flight.job_id for flight in doubtful]
        alive = set(self._results.look(ids))
        alive.update(job_id for job_id, text in zip(ids, self._state.endings_of(ids), strict=True) if text is not None)
        return [flight for flight in doubtful if flight.job_id not in alive]

    def _reread(self, flights: Sequence[Flight]) -> None:
        """Read the lines of jobs again that are to be published again."""
        wanted = {line.number: flight for flight in flights for line in flight.lines}
        groups: dict[str, list[Entry | BadLine]] = {}
        for line in self._source.read(after=min(wanted) - 1) if wanted else ():
            if line.number in wanted:
                groups.setdefault(wanted.pop(line.number).job_id, []).append(line)
            if not wanted:
                break
        self._unpublished.update((job_id, job_of(group)) for job_id, group in groups.items())

    def _at_budget(self, budget: Decimal) -> None:
        """Nothing more can be afforded; what is in flight may turn out cheaper."""
        if self._flights or (following := next(self._lines, None)) is None:
            self._at_end = not self._flights
            return
        self._lines = chain([following], self._lines)
        self._pause(why_at_budget(self._definition.name, budget, self.sums))

    def _pause(self, why: str) -> None:
        self._state.change(Phase.PAUSED, why=why, after=[Phase.RUNNING])

    # The end

    def _wind_up(self, orders: Orders) -> None:
        self._let_go(whole=True)
        position = self._sink.finish()
        if orders.phase is not Phase.CANCELLED:
            # Told before it is noted: a crash in between tells it again, and the same event again changes nothing.
            self._completed(self._state.load())
        self._state.finish(self._lease, sink=position)
