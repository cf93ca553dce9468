"""Admission: who may call now. Today a bound on calls in flight, per process and per connection."""

from .base import Admission, Lease
from .local import LocalAdmission

__all__ = ["Admission", "Lease", "LocalAdmission"]
