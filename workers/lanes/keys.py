"""How lanes lie in Redis. Every script keeps to this; all of it is in one database of one server, no cluster.

A *lane* holds the waiting jobs of one project on one meter, in one class (`live` or `backfill`) and one queue. Its name
is these, separated by tabs: queue, class, tenant, meter, project. A *meter's* name is the same without the project, and
a *line*, which is where the meters of one class and queue stand, is named by queue and class. A *session's* name is its
project, a tab, and what the project calls it.

    byom:lanes:all                set   lanes in which jobs wait
    byom:lanes:jobs:<lane>        list  entries, the first one on the right: label, newline, message
    byom:lanes:lane:<lane>        hash  head (label of the first), tokens (of all), connection; while it does not go:
                                        tag, why; still (since when patience stands still), grace (for how long it did)
    byom:lanes:deadlines:<queue>  zset  lane → when the patience of its first job ends

    byom:lanes:ready:<meter>      zset  lane that may go → its tag: where in the order of its meter it stands
    byom:lanes:finished:<meter>   zset  empty lane → tag at which it would go on; forgotten once the others are there
    byom:lanes:meter:<meter>      hash  present (the tag served last), offset (what is added to tags for the line),
                                        lanes (in which jobs wait), credit (backfill's share, in tokens), why
    byom:lanes:meters:<line>      zset  meter that may be asked → smallest tag of its lanes, with its offset
    byom:lanes:idle:<line>        zset  meter without jobs → when to forget it, as a tag of the line
    byom:lanes:queue:<queue>      hash  jobs_live, jobs_backfill; live, backfill (the present of each line); credit;
                                        late_last (one past its patience was handed out last)
    byom:lanes:due:<queue>        zset  what waits: `lane` or `meter`, tab, name → when that ends, on the server's clock

    byom:lanes:session:<session>  hash  head (id of the one job of it that is in a lane or in hand), messages (of it)
    byom:lanes:behind:<session>   list  entries of the jobs behind that, the first one on the right: lane, connection,
                                        label without the time, id, message, with newlines between
    byom:lanes:members            hash  delivery tag of a message of such a head → session
    byom:lanes:sessions           set   sessions in which jobs wait behind
    byom:lanes:behinds            hash  lane → jobs that wait behind and will go there

    byom:lanes:waiting            hash  project → jobs, in lanes and behind
    byom:lanes:weights            hash  project → weight, where it is not 1
    byom:lanes:paused             hash  project, tab, class, tab, queue or nothing for all → when

    byom:id:<job>                 text  a job whose id was given is known: its id, tab, its project
    byom:batch:<name>             text  what was answered to a batch, for whoever sends it again

The label is `since input output calls patience fallback tag`: seconds of the server's clock, tokens, tokens, a number,
seconds, 0 or 1, and the message's delivery tag.

Tags count tokens, divided by the project's weight (start-time fair queueing): the lane with the smallest tag goes
next, and its tag grows by what it was given. A lane is in `ready` unless it waits (`due`) or is paused; a meter is in
`meters` if it has a lane in `ready` and does not wait itself.
"""

from typing import NamedTuple, Self

PREFIX = "byom:lanes:"

ALL = f"{PREFIX}all"
WAITING = f"{PREFIX}waiting"
SESSIONS = f"{PREFIX}sessions"
BEHINDS = f"{PREFIX}behinds"
WEIGHTS = f"{PREFIX}weights"
PAUSED = f"{PREFIX}paused"

#: The list that wakes a worker which waits for messages.
WAKE_KEY = "byom.wake"

#: Keys of jobs whose ids were given.
GIVEN = "byom:id:"

_SEPARATOR = "\t"


class LaneName(NamedTuple):
    """Which lane."""

    queue: str
    priority: str
    tenant: str
    meter: str
    project: str

    def __str__(self) -> str:
        return _SEPARATOR.join(self)

    @classmethod
    def parse(cls, name: str) -> Self:
        """From the name in Redis."""
        return cls(*name.split(_SEPARATOR))

    @property
    def meter_name(self) -> str:
        """Name of its meter's place in the queue."""
        return _SEPARATOR.join(self[:-1])

    @property
    def jobs(self) -> str:
        """Key of its entries."""
        return f"{PREFIX}jobs:{self}"

    @property
    def state(self) -> str:
        """Key of its state."""
        return f"{PREFIX}lane:{self}"

    @property
    def meter_state(self) -> str:
        """Key of its meter's place in the queue."""
        return f"{PREFIX}meter:{self.meter_name}"

    @property
    def due(self) -> str:
        """Key of the waits of its queue."""
        return due(self.queue)

    @property
    def limits(self) -> str:
        """Key of the meter itself, where admission keeps its limits."""
        return f"byom:{{{self.tenant}}}:meter:{self.meter}"


def due(queue: str) -> str:
    """Key of the waits of a queue."""
    return f"{PREFIX}due:{queue}"


def queue_state(queue: str) -> str:
    """Key of a queue's counters."""
    return f"{PREFIX}queue:{queue}"


def behind(session: str) -> str:
    """Key of what waits behind the head of a session."""
    return f"{PREFIX}behind:{session}"


def pause_field(project: str, priority: str, queue: str | None) -> str:
    """Field of what is paused; `None` for all queues."""
    return _SEPARATOR.join((project, priority, queue or ""))


def pauses_of(project: str) -> str:
    """What all fields begin with of what is paused of a project."""
    return f"{project}{_SEPARATOR}"
