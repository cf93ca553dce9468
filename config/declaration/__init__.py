"""The configuration as one YAML file without secrets: to be kept in version control, compared and applied."""

from .model import SCHEMA_NAME, ConfigFile, LevelEntry, declaration_schema
from .plan import Difference, Plan, make_plan
from .snapshot import all_levels, list_accounts, snapshot
from .text import read_file, write_file

__all__ = [
    "SCHEMA_NAME",
    "ConfigFile",
    "Difference",
    "LevelEntry",
    "Plan",
    "all_levels",
    "declaration_schema",
    "list_accounts",
    "make_plan",
    "read_file",
    "snapshot",
    "write_file",
]
