"""Connections: account defaults, project overrides, and the effective chain of a project."""

from .chain import (
    EffectiveConnection,
    Origin,
    account_connections,
    effective_chain,
    has_primary,
    project_connections,
)
from .model import LIMIT_FIELDS, VERIFIED_FIELDS, Connection
from .paths import account_path, project_path
from .profiles import AccountProfile, ProjectProfile, read_account, read_project, write_account, write_project
from .save import list_projects, save_connection, save_project

__all__ = [
    "LIMIT_FIELDS",
    "VERIFIED_FIELDS",
    "AccountProfile",
    "Connection",
    "EffectiveConnection",
    "Origin",
    "ProjectProfile",
    "account_connections",
    "account_path",
    "effective_chain",
    "has_primary",
    "list_projects",
    "project_connections",
    "project_path",
    "read_account",
    "read_project",
    "save_connection",
    "save_project",
    "write_account",
    "write_project",
]
