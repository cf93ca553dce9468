"""Where meters and counters of spend are kept in Redis.

What one call must be admitted by lies in one cluster slot: the braces hold the tenant.
"""

from typing import NamedTuple

from config.connections import EffectiveConnection


class MeterKeys(NamedTuple):
    """The keys of one meter, in the order in which scripts take them."""

    #: Hash: limits, levels, and what was learned.
    state: str
    #: Sorted set: lease → when it runs out.
    leases: str
    #: Hash: lease → what it took.
    held: str


def meter_keys(tenant: str, meter: str) -> MeterKeys:
    """Keys of a meter.

    Args:
        tenant: as `EffectiveConnection.tenant`.
        meter: as `EffectiveConnection.key`.
    """
    return MeterKeys(*(f"byom:{{{tenant}}}:{part}:{meter}" for part in MeterKeys("meter", "leases", "held")))


def keys_of(effective: EffectiveConnection) -> MeterKeys:
    """Keys of the meter of a connection."""
    return meter_keys(effective.tenant, effective.key)


def aside_key(tenant: str, name: str) -> str:
    """Key of what is set aside of budgets for a batch of calls."""
    return f"byom:{{{tenant}}}:aside:{name}"


def spend_key(tenant: str, project: str, connection: str | None, period: str) -> str:
    """Key of the counter of spend of a project, or of one of its connections, in a period such as `d20261125`."""
    scope = project if connection is None else f"{project}:{connection}"
    return f"byom:{{{tenant}}}:spend:{scope}:{period}"
