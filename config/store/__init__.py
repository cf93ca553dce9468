"""Where connections and secrets are kept: one interface, several stores."""

from .base import Parameter, ParameterStore, open_store
from .file import FileStore
from .memory import MemoryStore

__all__ = ["FileStore", "MemoryStore", "Parameter", "ParameterStore", "open_store"]
