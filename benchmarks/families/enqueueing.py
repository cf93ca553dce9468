"""How fast jobs come in, against plain Celery."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from celery import Celery

from benchmarks.ground import ground, server_cpu_seconds
from benchmarks.messages import message_jobs
from benchmarks.rows import Figure, Measured, Row, Sizes, at_least

#: Jobs of a turn.
_TURN = 500


@dataclass(slots=True, kw_only=True)
class Pace:
    """What enqueueing took so far, in seconds."""

    elapsed: float = 0.0
    #: Of the producer's process and of the broker's.
    cpu: float = 0.0

    @contextmanager
    def measured(self, client: redis.Redis) -> Iterator[None]:
        """Add what happens meanwhile."""
        began, cpu = time.perf_counter(), time.process_time() + server_cpu_seconds(client)
        yield
        self.elapsed += time.perf_counter() - began
        self.cpu += time.process_time() + server_cpu_seconds(client) - cpu


def _measure(sizes: Sizes) -> Measured:
    turns = max(1, sizes["jobs"] // _TURN)
    count = sizes["jobs"] // turns
    ours, theirs = Pace(), Pace()
    with ground() as place:
        place.configure("bench")
        payloads = list(message_jobs("bench", count))
        plain = Celery(broker=place.valkey.url, backend=place.valkey.url)
        signature = plain.signature("plain", queue="plain")
        with place.producer() as producer:
            # In turns, so that both meet the same load.
            for _ in range(turns):
                with ours.measured(place.client):
                    for _handle in producer.enqueue_many(payloads):
                        pass
                with theirs.measured(place.client):
                    for payload in payloads:
                        signature.apply_async(args=(payload,))
        plain.close()
    jobs = turns * count
    return Measured(
        values={
            "ratio": theirs.elapsed / ours.elapsed,
            "ours": jobs / ours.elapsed,
            "theirs": jobs / theirs.elapsed,
            "cpu": theirs.cpu / ours.cpu,
            "cpu_ours": ours.cpu / jobs * 1e6,
            "cpu_theirs": theirs.cpu / jobs * 1e6,
        }
    )


ROWS = (
    Row(
        name="enqueue",
        how="the same {jobs:,} jobs through the bulk API and through plain Celery's apply_async in a loop, in turns of "
        "500; ours checks each job and makes its lane header, the loop does neither",
        figures={
            "ratio": Figure(
                what="enqueueing, bulk API against apply_async in a loop", form="{:.1f} x", reach=at_least(5)
            ),
            "ours": Figure(what="bulk API, jobs/s", form="{:,.0f}"),
            "theirs": Figure(what="apply_async in a loop, jobs/s", form="{:,.0f}"),
            "cpu": Figure(what="the same as a ratio of CPU, producer and broker", form="{:.1f} x"),
            "cpu_ours": Figure(what="bulk API, CPU of producer and broker per job", form="{:,.0f} µs"),
            "cpu_theirs": Figure(what="apply_async in a loop, CPU of both per job", form="{:,.0f} µs"),
        },
        measure=_measure,
        full={"jobs": 5_000},
        quick={"jobs": 100},
    ),
)
