"""A vendor's own account of usage against the ledger, by day and model.

report     one row of a vendor's report, whatever it came in
table      any CSV, by a mapping of its columns
compare    the two sides next to each other

How a vendor's API tells usage stands with the rest of what is known of the vendor, in `workers.providers`.
"""

from .compare import Comparison, Line, Tolerance, compare
from .report import QUANTITIES, Report, read_report
from .table import COLUMNS, parse_columns, read_table

__all__ = [
    "COLUMNS",
    "QUANTITIES",
    "Comparison",
    "Line",
    "Report",
    "Tolerance",
    "compare",
    "parse_columns",
    "read_report",
    "read_table",
]
