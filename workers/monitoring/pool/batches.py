"""Batches, and the jobs that wait for one, as metrics show them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import redis

from workers.economy.controls import BatchView, WaitingView, list_batches, list_waiting


class BatchBoard(Protocol):
    """What is known of jobs that can wait. All of it raises `redis.RedisError` when nobody can be asked."""

    def batches(self) -> Sequence[BatchView]:
        """All batches that are not over."""

    def waiting(self) -> Sequence[WaitingView]:
        """Jobs that no batch has yet, by connection."""


@dataclass(slots=True, kw_only=True)
class MemoryBatches:
    """Batches in a list; for tests."""

    views: Sequence[BatchView] = field(default_factory=list)
    lines: Sequence[WaitingView] = field(default_factory=list)

    def batches(self) -> Sequence[BatchView]:
        """As the board."""
        return self.views

    def waiting(self) -> Sequence[WaitingView]:
        """As the board."""
        return self.lines


class RedisBatches:
    """The batches of one broker. A batch board."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def batches(self) -> Sequence[BatchView]:
        """All batches that are not over."""
        return list_batches(self._client)

    def waiting(self) -> Sequence[WaitingView]:
        """Jobs that no batch has yet."""
        return list_waiting(self._client)
