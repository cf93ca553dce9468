"""Cheaper tiers: which one served a call, and which faults only say that there was no room at it. Pure."""

from dataclasses import replace

from tasks.contract import Tier
from workers.providers.base import Call, Fault, FaultKind, Reply

#: How vendors name the flex tier in their answers.
_FLEX = frozenset({"flex", "on_demand_flex"})

#: Faults of a flex call that say nothing but that flex is not served now, or not for this model. A request that is
#: refused as invalid is among them: whether it was for the tier shows when the same is asked at the standard one.
_NO_ROOM = frozenset({FaultKind.OVERLOADED, FaultKind.BAD_REQUEST})


def at_tier(answer: Reply | Fault, call: Call, said: object) -> Reply | Fault:
    """An answer with the cheaper tier that the vendor served it at, and bills.

    Args:
        answer: what came of the call.
        call: what was asked.
        said: what the vendor says of the tier; where it says nothing, the one that was asked for stands.
    """
    if isinstance(answer, Fault) and not answer.usage.total:
        return answer
    tier = call.tier if not isinstance(said, str) else Tier.FLEX if said.lower() in _FLEX else None
    return replace(answer, tier=tier)


def without_room(answer: Reply | Fault, call: Call, *, shared: bool) -> Reply | Fault:
    """A fault that only says that there is no room at the call's tier, as what it is; all else passes.

    Args:
        answer: what came of the call.
        call: what was asked.
        shared: whether the vendor's 429 speaks of capacity that all customers share, unless it names a wait.
    """
    if call.tier is not Tier.FLEX or isinstance(answer, Reply):
        return answer
    unnamed = answer.kind is FaultKind.RATE_LIMITED and answer.retry_after is None
    if answer.kind in _NO_ROOM or (shared and unnamed):
        return replace(answer, kind=FaultKind.TIER_UNAVAILABLE)
    return answer
