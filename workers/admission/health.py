"""Stub for the time being."""

from config.prices import Cost
from tasks.contract import ProviderKind
from workers.admission.base import Observation
from workers.providers.base import Fault, Reply


def observe(answer: Reply | Fault, *, provider: ProviderKind, cost: Cost | None) -> Observation:
    return Observation(usage=answer.usage)
