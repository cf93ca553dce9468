"""What stays in Redis of a job that is over, and for how long."""

from collections import Counter

from benchmarks.families.costs import LATENCY
from benchmarks.ground import UNBOUND, Ground, ground
from benchmarks.messages import message_jobs
from benchmarks.rows import Figure, Measured, Row, Sizes

_HOUR, _DAY = 3_600, 86_400
#: Longest time to live, in seconds, of what belongs under a key of the figures.
_KINDS = {"hour": 2 * _HOUR, "day": 2 * _DAY, "week": 14 * _DAY}


def _by_life(place: Ground) -> Counter[str]:
    """Bytes by how long they stay; what has no time to live is under `bounded`."""
    found: Counter[str] = Counter()
    for key in place.client.scan_iter(count=1_000):
        lives = int(place.client.ttl(key))
        kind = next((name for name, most in _KINDS.items() if lives <= most), "longer") if lives >= 0 else "bounded"
        found[kind] += int(place.client.memory_usage(key, samples=0) or 0)
    return found


def _measure(sizes: Sizes) -> Measured:
    count = sizes["jobs"]

    def go(number: int) -> None:
        for handle in list(producer.enqueue_many(message_jobs("kept", number))):
            handle.result(timeout=300)

    with ground(latency=LATENCY, extra={"BYOM_CONCURRENCY": "50"}) as place, place.producer() as producer:
        place.configure("kept", **UNBOUND)
        place.start_worker()
        go(10)
        before = _by_life(place)
        go(count)
        after = _by_life(place)
    return Measured(values={kind: (after[kind] - before[kind]) / count for kind in (*_KINDS, "longer", "bounded")})


ROWS = (
    Row(
        name="kept",
        how="{jobs:,} jobs of one episode, no callbacks, no labels, no idempotency key; memory of all keys by their "
        "time to live, with the default settings",
        figures={
            "hour": Figure(what="bytes of a job's working state, kept an hour", form="{:,.0f}"),
            "day": Figure(what="bytes of its result, kept a day", form="{:,.0f}"),
            "week": Figure(what="bytes kept a week", form="{:,.0f}"),
            "longer": Figure(what="bytes kept for longer", form="{:,.0f}"),
            "bounded": Figure(what="bytes of records and events, kept up to a number", form="{:,.0f}"),
        },
        measure=_measure,
        full={"jobs": 500},
        quick={"jobs": 10},
    ),
)
