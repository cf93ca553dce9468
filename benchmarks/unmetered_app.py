"""The pool without admission: whoever asks may call. For measuring what admission costs; never for anything else."""

from typing import Any

from workers import runtime
from workers.app import app

__all__ = ["app"]


class _Free:
    async def settle(self, observation: object) -> None:
        """Nobody keeps books."""

    async def refund(self) -> None:
        """Nothing was taken."""


class _Unmetered:
    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what admission takes."""

    async def admit(self, *_: Any, **__: Any) -> _Free:
        """Leave, always."""
        return _Free()

    async def release(self, *_: Any, **__: Any) -> None:
        """Nothing was set aside here."""


# The name by which the runtime knows it.
setattr(runtime, "RedisAdmission", _Unmetered)  # noqa: B010 - it is no public name of that module
