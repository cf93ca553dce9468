"""Where connections and secrets are kept: one interface, several stores."""

from .base import Parameter, ParameterStore, join_path, open_store
from .file import FileStore
from .memory import MemoryStore

__all__ = ["FileStore", "MemoryStore", "Parameter", "ParameterStore", "join_path", "open_store"]
