"""Stub for the time being."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    seconds: float
    reason: str
