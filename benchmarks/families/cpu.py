"""What a call costs the worker in CPU, beside a rival and beside a bare loop.

All arms of a repeat run one after the other on the same Valkey and call the same simulator, half a second a call. CPU
is the worker process's own, threads included, from its accounting in /proc, start-up left out.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from benchmarks.ground import ROOT, UNBOUND, Ground, cpu_seconds, ground
from benchmarks.messages import message_jobs, prompts
from benchmarks.rows import FRACTION, CannotMeasure, Figure, Measured, Row, Sizes, at_most
from workers.embedded.simulator import Latency

_LATENCY = 0.5
_PROJECT = "bench"
_RIVAL = "benchmarks.litellm_app"


@contextmanager
def _place(in_flight: int) -> Iterator[Ground]:
    extra = {"BYOM_CONCURRENCY": str(in_flight)}
    with ground(latency=Latency.fixed(_LATENCY), extra=extra) as place:
        place.configure(_PROJECT, **UNBOUND)
        place.extra["BENCH_BROKER"] = place.valkey.url
        place.extra["BENCH_BASE_URL"] = place.simulator.base_urls["openai"]
        # LiteLLM would fetch prices from the network when it is imported.
        place.extra["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        yield place


def _pool(place: Ground, *, calls: int, episodes: int, in_flight: int) -> float:
    """CPU milliseconds per call in our worker, of so many episodes in each job."""
    worker, count = place.start_worker(), calls // episodes

    def go(number: int) -> None:
        for handle in list(producer.enqueue_many(message_jobs(_PROJECT, number, episodes=episodes))):
            handle.result(timeout=300)

    with place.producer() as producer:
        go(max(1, in_flight // episodes))
        before = cpu_seconds(worker.pid)
        go(count)
        spent = cpu_seconds(worker.pid) - before
    place.stop_workers()
    return spent / (count * episodes) * 1000


def _rival(place: Ground, *, calls: int, in_flight: int) -> float:
    """CPU milliseconds per call of LiteLLM in a Celery task."""
    if importlib.util.find_spec("litellm") is None:
        raise CannotMeasure("LiteLLM is not installed; `make bench` installs it, and so does pip install -e '.[bench]'")
    worker = place.start_worker(_RIVAL, "-l", "INFO")
    app = Celery(broker=place.valkey.url, backend=place.valkey.url)

    def go(number: int) -> None:
        sent = [app.send_task(f"{_RIVAL}.extract", args=list(prompt), queue="rival") for prompt in prompts(number)]
        for result in sent:
            result.get(timeout=600)

    go(in_flight)
    before = cpu_seconds(worker.pid)
    go(calls)
    spent = cpu_seconds(worker.pid) - before
    place.stop_workers()
    app.close()
    return spent / calls * 1000


def _bare(place: Ground, *, calls: int, in_flight: int) -> float:
    """CPU milliseconds per call of a bare loop."""
    url = place.simulator.base_urls["openai"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare_loop", str(calls), url, str(in_flight)],
        cwd=ROOT,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotMeasure(f"the bare loop failed: {done.stderr}")
    return float(done.stdout) / calls * 1000


def _single(sizes: Sizes) -> Measured:
    calls, in_flight = sizes["calls"], sizes["in_flight"]
    with _place(in_flight) as place:
        ours = _pool(place, calls=calls, episodes=1, in_flight=in_flight)
        rival = _rival(place, calls=calls, in_flight=in_flight)
    return Measured(values={"ratio": ours / rival, "ours": ours, "rival": rival})


def _ten(sizes: Sizes) -> Measured:
    calls, in_flight = sizes["calls"], sizes["in_flight"]
    with _place(in_flight) as place:
        bare = _bare(place, calls=calls, in_flight=in_flight)
        ours = _pool(place, calls=calls, episodes=10, in_flight=in_flight)
    return Measured(values={"ratio": ours / bare, "ours": ours, "bare": bare})


ROWS = (
    Row(
        name="cpu-single",
        how="jobs of one episode in one worker, then the same calls by LiteLLM in a Celery task (threads, late "
        "acknowledgement, events); CPU of the worker process",
        figures={
            "ratio": Figure(
                what="CPU per single-episode job, against LiteLLM in a Celery task", form=FRACTION, reach=at_most(1 / 6)
            ),
            "ours": Figure(what="CPU per job in our worker", form="{:.2f} ms"),
            "rival": Figure(what="CPU per call of LiteLLM in a Celery task", form="{:.2f} ms"),
        },
        measure=_single,
        full={"calls": 1_000, "in_flight": 100},
        quick={"calls": 20, "in_flight": 10},
    ),
    Row(
        name="cpu-ten",
        how="a bare asyncio loop with httpx over aiohttp, then the same calls as jobs of ten episodes in one worker; "
        "CPU of the process",
        figures={
            "ratio": Figure(
                what="CPU per episode at ten episodes a job, against a bare loop", form="{:.2f} x", reach=at_most(1.5)
            ),
            "ours": Figure(what="CPU per episode in our worker", form="{:.2f} ms"),
            "bare": Figure(what="CPU per call of the bare loop", form="{:.2f} ms"),
        },
        measure=_ten,
        full={"calls": 1_000, "in_flight": 100},
        quick={"calls": 20, "in_flight": 10},
    ),
)
