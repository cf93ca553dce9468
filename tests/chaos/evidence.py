"""What is known after a run; the verdict is made of this alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.contract import AttemptRecord
from tests.chaos.stage import Death, Link
from workers.embedded.simulator import Entry

#: Sums of one connection: `attempts`, `failed`, kinds of tokens, `cost_pico`.
Sums = Counter[str]
#: Project and provider → sums.
Table = Mapping[tuple[str, str], Sums]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """What became of one job."""

    number: int
    project: str
    #: All ids under which it was enqueued; more than one only where a duplicate points to the first.
    ids: frozenset[str]
    #: Id → state in the result backend, `SUCCESS` and `FAILURE` alone being final.
    states: Mapping[str, str]
    #: Id → status in the result, such as `succeeded`; the failure's code where there is none.
    statuses: Mapping[str, str]
    #: Id → what the working state says of the end, in the same words; absent where it holds none.
    endings: Mapping[str, str]
    #: Id → the job that a duplicate points to.
    points_to: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything."""

    jobs: Sequence[JobSeen]
    #: The vendors' books.
    entries: Sequence[Entry]
    #: Fingerprint of a key → the connection that it belongs to.
    links: Mapping[str, Link]
    #: The ledger's records.
    records: Sequence[AttemptRecord]
    #: The same ledger by other ways: name of the way → sums.
    tables: Mapping[str, Table]
    #: Worker → attempts that its metrics have counted, and those that its own log tells of, at least and at most.
    counted: Mapping[str, tuple[int, int, int]]
    #: Moments at which a worker was torn from its work.
    interruptions: Sequence[Death]
    #: Unix time at which the run began, and at which all was at rest, by the machine's own clock.
    lasted: tuple[float, float]
    #: Calls that one worker may have under way at once.
    in_hand: int
    #: What is still there though nothing is to do: name → what.
    left: Mapping[str, str]
    #: Where a secret or a text was found that must not be there.
    spilled: Sequence[str]
    #: What went wrong with the run itself, such as a worker that ended by itself.
    surprises: Sequence[str] = ()
