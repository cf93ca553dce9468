"""Checks of the broker: reachable, new enough, loses nothing, same time."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import redis

from .base import Check, fail, ok, warn

_MINIMUM = {"redis": 7, "valkey": 8}
#: Seconds. Celery warns of drift beyond 16 s; leases of jobs in hand last about as long.
_SKEW_WARN, _SKEW_FAIL = 2.0, 15.0


def check_broker(client: redis.Redis, *, now: Callable[[], float]) -> Iterator[Check]:
    """Everything about the broker; ends with the first line when it does not answer."""
    try:
        info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        yield fail(
            "broker",
            f"does not answer: {error}",
            "start it (`byom up` on a laptop), or set BYOM_BROKER_URL to where it runs, with its password",
        )
        return
    yield check_version(info)
    yield check_eviction(info)
    yield check_persistence(info, saves=_save_points(client))
    yield check_clock(client, now=now)


def check_version(info: dict[str, Any]) -> Check:
    """Whether the server is Redis 7, Valkey 8 or later."""
    # Valkey also reports the Redis version that it is compatible with.
    kind = "valkey" if "valkey_version" in info else "redis"
    text = str(info[f"{kind}_version"])
    match = re.match(r"\d+", text)
    if match is None or int(match.group()) < _MINIMUM[kind]:
        mend = f"use Redis {_MINIMUM['redis']} or Valkey {_MINIMUM['valkey']}, or later"
        return fail("broker", f"{kind} {text} is too old", mend)
    return ok("broker", f"{kind} {text}")


def check_eviction(info: dict[str, Any]) -> Check:
    """Whether a full server refuses new jobs, rather than forget accepted ones."""
    name, policy, limit = "eviction", str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    found = f"maxmemory-policy {policy}, " + (f"maxmemory {limit / 2**20:,.0f} MiB" if limit else "no maxmemory")
    if policy == "noeviction":
        return ok(name, found)
    mend = "run: CONFIG SET maxmemory-policy noeviction, and write it into the server's configuration"
    if limit:
        return fail(name, f"{found}: jobs are forgotten when memory is full", mend)
    return warn(name, f"{found}: harmless until a maxmemory is set", mend)


def check_persistence(info: dict[str, Any], *, saves: str | None) -> Check:
    """Whether accepted jobs outlive a restart of the server."""
    name, mend = "persistence", "turn on appendonly (appendfsync everysec)"
    if int(info.get("aof_enabled", 0)):
        if str(info.get("aof_last_write_status", "ok")) != "ok":
            return fail(name, "the append-only file cannot be written", "look at the server's log and disk")
        return ok(name, "append-only file")
    if str(info.get("rdb_last_bgsave_status", "ok")) != "ok":
        return fail(name, "the last snapshot failed", "look at the server's log and disk")
    if saves:
        return warn(name, f"snapshots only (save {saves}): jobs since the last one are lost in a crash", mend)
    if saves is None:
        return warn(name, "no append-only file; the server does not say whether it takes snapshots", mend)
    return warn(name, "off: every job is lost when the server restarts", mend)


def check_clock(client: redis.Redis, *, now: Callable[[], float]) -> Check:
    """Whether this machine and the server agree on the time, give or take half the round trip."""
    before = now()
    seconds, micros = client.time()
    after = now()
    skew = (before + after) / 2 - (seconds + micros / 1e6)
    ahead = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the broker"
    mend = "synchronise the clocks of this machine and of the broker (NTP)"
    doubt = (after - before) / 2
    if abs(skew) - doubt > _SKEW_FAIL:
        return fail("clock", ahead, mend)
    if abs(skew) - doubt > _SKEW_WARN:
        return warn("clock", ahead, mend)
    return ok("clock", f"within {max(abs(skew), doubt):.2f} s of the broker")


def check_results(client: redis.Redis) -> Check:
    """Whether the result store answers."""
    try:
        client.ping()
    except redis.RedisError as error:
        return fail("results", f"does not answer: {error}", "set BYOM_RESULT_URL to where it runs, or unset it")
    return ok("results", "answers")


def _save_points(client: redis.Redis) -> str | None:
    """The snapshot schedule; None where managed servers forbid to ask."""
    try:
        return client.config_get("save").get("save") or ""
    except redis.ResponseError:
        return None
