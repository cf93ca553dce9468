"""A vendor's own account of usage against the ledger, by day and model.

report     one row of a vendor's report, whatever it came in
openai     the organization usage and costs APIs of OpenAI
anthropic  the usage and cost reports of Anthropic's Admin API
table      any CSV, by a mapping of its columns
compare    the two sides next to each other
"""

from . import anthropic, openai
from .compare import Comparison, Line, Tolerance, compare
from .report import QUANTITIES, Report, read_report
from .table import COLUMNS, parse_columns, read_table

#: Provider → how what its API returns is read.
READERS = {"openai": openai.read, "anthropic": anthropic.read}

__all__ = [
    "COLUMNS",
    "QUANTITIES",
    "READERS",
    "Comparison",
    "Line",
    "Report",
    "Tolerance",
    "compare",
    "parse_columns",
    "read_report",
    "read_table",
]
