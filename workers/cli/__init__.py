"""The `byom` command."""

from workers.cli.root import main

__all__ = ["main"]
