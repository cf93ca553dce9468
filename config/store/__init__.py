"""Where connections and secrets are kept: one interface, several stores."""

from .base import Parameter, ParameterStore, SecretFacts, join_path
from .file import FileStore
from .memory import MemoryStore
from .opening import open_store

__all__ = ["FileStore", "MemoryStore", "Parameter", "ParameterStore", "SecretFacts", "join_path", "open_store"]
