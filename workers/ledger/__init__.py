"""The usage ledger: one record per attempt, hourly sums, and what is made of them.

Writing happens in `workers/jobs/settle.lua`, in the same step that marks the attempt as counted, so that a
redelivery changes nothing. Here is what is written, and everything that reads it:

sums        what a record adds to the sums of its hour, and under which names
reader      usage tables from the sums
stream      the records themselves, in order, with gaps told
export      records to files
sql/        records to a database, and usage tables from there
reconcile/  a vendor's own account of usage against the ledger

docs/usage.md tells it to operators.
"""

from .reader import UsageReader
from .rows import DIMENSIONS, UnknownDimension, UsageRow, UsageSource
from .stream import RECORDS_KEY
from .sums import SUMS_TTL, hour_key

__all__ = [
    "DIMENSIONS",
    "RECORDS_KEY",
    "SUMS_TTL",
    "UnknownDimension",
    "UsageReader",
    "UsageRow",
    "UsageSource",
    "hour_key",
]
