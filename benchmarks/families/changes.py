"""How soon running workers go by what was changed.

Their caches last for ten minutes here: they look again because they are told. From the call that changes the
configuration to when the call that uses it comes to the simulated vendor, by the clock that both share.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from benchmarks.ground import UNBOUND, Ground, ground, jobs, wait_for
from benchmarks.rows import Figure, Measured, Row, Sizes, at_most
from config.connections import project_path
from workers.configuration.admin import Admin
from workers.embedded.simulator import Latency, fingerprint


@contextmanager
def _traffic(place: Ground, project: str, *, every: float = 0.01) -> Iterator[None]:
    """A job now and then, for as long as the block runs; then all of them end."""
    stop = threading.Event()

    def send() -> None:
        with place.producer() as producer:
            sent = []
            for job in jobs(project, 1_000_000):
                if stop.wait(every):
                    break
                sent.append(producer.enqueue(job))
            for handle in sent:
                handle.result(timeout=120)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _rotate(place: Ground, admin: Admin, number: int) -> tuple[float, float]:
    """Seconds from an activation to the first call with the new key, and to the last with the old one."""
    project = f"rotated-{number}"
    scope, new = project_path(project), f"sk-bench-new-{number}"
    old = place.configure(project, **UNBOUND)
    with _traffic(place, project):
        wait_for(lambda: place.served(old) >= 20)  # noqa: PLR2004 - traffic flows
        version = admin.add_credential(scope, "main", SecretStr(new)).version
        admin.note_verification(scope, "main", version, problem=None)
        activated = time.time()
        admin.activate_credential(scope, "main", version)
        wait_for(lambda: place.served(new) >= 50, every=0.01)  # noqa: PLR2004 - both workers had turns
    calls = place.calls(project)
    first = min(call.time for call in calls if call.key == fingerprint(new))
    last = max(call.time for call in calls if call.key == fingerprint(old))
    return first - activated, max(0.0, last - activated)


def _raise(place: Ground, admin: Admin, number: int) -> float:
    """Seconds from raising a limit under which everything waits to the first call that the old one did not allow."""
    project = f"raised-{number}"
    key = place.configure(project, rpm_capacity=1, **UNBOUND)
    with place.producer() as producer:
        handles = list(producer.enqueue_many(jobs(project, 20)))
        # The next one would come after a minute.
        wait_for(lambda: place.served(key) == 1)
        urls = place.simulator.base_urls
        document = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
        changed = time.time()
        admin.save_connection(
            project_path(project), {**document, "base_url": urls["openai"], "rpm_capacity": 6_000, **UNBOUND}
        )
        for handle in handles:
            handle.result(timeout=50)
    return sorted(call.time for call in place.calls(project))[1] - changed


def _measure(sizes: Sizes) -> Measured:
    extra = {"BYOM_CONFIG_CACHE_TTL": "600"}
    with ground(latency=Latency.fixed(0.05), extra=extra) as place, Admin.opened(place.settings) as admin:
        place.start_worker()
        place.start_worker()
        rotations = [_rotate(place, admin, number) for number in range(sizes["changes"])]
        raises = [_raise(place, admin, number) for number in range(sizes["changes"])]
    return Measured(
        values={
            "rotation": max(first for first, _ in rotations),
            "old": max(last for _, last in rotations),
            "limit": max(raises),
        }
    )


ROWS = (
    Row(
        name="changes",
        how="two workers that trust what they have read for ten minutes, and {changes} changes of each kind, of which "
        "the slowest counts: a new key is activated while jobs flow; a limit is raised under which everything waits",
        figures={
            "rotation": Figure(
                what="from a rotation to the first call with the new key", form="{:.3f} s", reach=at_most(1)
            ),
            "limit": Figure(
                what="from raising a limit to the first call that uses it", form="{:.3f} s", reach=at_most(1)
            ),
            "old": Figure(what="from a rotation to the last call with the old key", form="{:.3f} s"),
        },
        measure=_measure,
        full={"changes": 5},
        quick={"changes": 1},
    ),
)
