"""`/metrics`: Flower's own metrics, and those of the pool."""

from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry

from workers.monitoring.boards import Boards
from workers.monitoring.pages.base import Page


class MetricsPage(Page):
    """For Prometheus. Flower alone shows its own to everybody; ours tell what projects spend: they ask for a login."""

    def initialize(self, boards: Boards, **own: Any) -> None:
        """Take `registry`, which has the metrics of the pool, and `is_open`; Tornado calls this."""
        super().initialize(boards)
        self._registry: CollectorRegistry = own["registry"]
        self._is_open: bool = own["is_open"]

    def prepare(self) -> None:
        """Ask for a login, unless somebody wants it open."""
        if not self._is_open:
            super().prepare()

    async def get(self) -> None:
        """Send them."""
        self.application.purge_offline_worker_metrics()
        text = await self.background(self._text)
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_PLAIN_0_0_4)
        self.write(text)

    def _text(self) -> bytes:
        return prometheus_client.generate_latest() + prometheus_client.generate_latest(self._registry)
