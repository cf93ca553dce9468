"""What `byom doctor` looks at. Each check is a function of what it is given; none changes anything."""

from .base import Check, Status

__all__ = ["Check", "Status"]
