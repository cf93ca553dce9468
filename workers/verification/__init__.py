"""Verification of connections: one real, minimal call, and a diagnosis in the user's terms.

report = await verify(effective, credential, providers=…, transport=…, catalogue=…, clock=…, timeout=…)
report.ok, report.failure, report.checks, report.cost_usd
"""

from workers.verification.report import Attempt, Check, CheckName, Problem, Status, Verification
from workers.verification.verify import unverifiable, verify

__all__ = ["Attempt", "Check", "CheckName", "Problem", "Status", "Verification", "unverifiable", "verify"]
