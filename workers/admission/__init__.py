"""Admission: who may call now, for all workers together."""

from .base import Admission, Budgets, Demand, Health, Lease, Observation, Reason, Refusal
from .health import observe
from .memory import MemoryAdmission
from .redis import RedisAdmission
from .state import BreakerState, BucketState, MeterState, SpendState

__all__ = [
    "Admission",
    "BreakerState",
    "BucketState",
    "Budgets",
    "Demand",
    "Health",
    "Lease",
    "MemoryAdmission",
    "MeterState",
    "Observation",
    "Reason",
    "RedisAdmission",
    "Refusal",
    "SpendState",
    "observe",
]
