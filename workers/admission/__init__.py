"""Admission: who may call now."""

from .base import Admission, Demand, Health, Lease, Observation, Reason, Refusal

__all__ = ["Admission", "Demand", "Health", "Lease", "Observation", "Reason", "Refusal"]
