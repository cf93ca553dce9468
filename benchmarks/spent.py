"""What a stretch of work took of workers and of the broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ground import Ground, cpu_seconds, server_cpu_seconds
from benchmarks.rows import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Sums since the processes began, or between two such."""

    #: CPU seconds of all workers.
    workers: float
    #: CPU seconds of the broker.
    redis: float
    #: Commands that the broker ran, those of scripts included; and scripts.
    commands: int
    scripts: int
    #: Bytes that came to the broker, and that it sent.
    received: int
    sent: int
    #: Bytes that the broker's data take.
    memory: int

    @classmethod
    def so_far(cls, place: Ground) -> "Spent":
        """Until now."""
        stats = place.client.info("stats")
        ran = {name: int(row["calls"]) for name, row in place.client.info("commandstats").items()}
        return cls(
            workers=sum(cpu_seconds(worker.pid) for worker in place.workers if worker.poll() is None),
            redis=server_cpu_seconds(place.client),
            commands=sum(ran.values()),
            scripts=ran.get("cmdstat_evalsha", 0) + ran.get("cmdstat_eval", 0),
            received=int(stats["total_net_input_bytes"]),
            sent=int(stats["total_net_output_bytes"]),
            memory=int(place.client.info("memory")["used_memory"]),
        )

    def since(self, before: "Spent") -> "Spent":
        """Between then and now."""
        return Spent(
            workers=self.workers - before.workers,
            redis=self.redis - before.redis,
            commands=self.commands - before.commands,
            scripts=self.scripts - before.scripts,
            received=self.received - before.received,
            sent=self.sent - before.sent,
            memory=self.memory - before.memory,
        )

    def per(self, count: int) -> Mapping[str, float]:
        """Of each job, or whatever was counted."""
        return {
            "worker_cpu": self.workers / count * 1e3,
            "redis_cpu": self.redis / count * 1e6,
            "commands": self.commands / count,
            "scripts": self.scripts / count,
            "received": self.received / count,
            "sent": self.sent / count,
            "kept": self.memory / count,
        }


_FIGURES = {
    "worker_cpu": Figure(what="CPU of the worker", form="{:,.2f} ms"),
    "redis_cpu": Figure(what="CPU of Redis", form="{:,.0f} µs"),
    "commands": Figure(what="commands in Redis, those of scripts included", form="{:,.1f}"),
    "scripts": Figure(what="scripts in Redis", form="{:.1f}"),
    "received": Figure(what="bytes to Redis", form="{:,.0f}"),
    "sent": Figure(what="bytes from Redis", form="{:,.0f}"),
    "kept": Figure(what="bytes that stay in Redis", form="{:,.0f}"),
}


def figures(prefix: str, what: str, only: Sequence[str]) -> dict[str, Figure]:
    """Lines for some of what `Spent.per` tells.

    Args:
        prefix: of the keys.
        what: follows the words.
        only: which.
    """
    return {
        f"{prefix}{key}": Figure(what=f"{_FIGURES[key].what} {what}".strip(), form=_FIGURES[key].form) for key in only
    }


def values(prefix: str, told: Mapping[str, float], only: Sequence[str]) -> dict[str, float]:
    """Those of `figures`."""
    return {f"{prefix}{key}": told[key] for key in only}
