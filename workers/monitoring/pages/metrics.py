"""`/metrics`: Flower's own metrics, and those of the pool."""

import prometheus_client
from prometheus_client import CollectorRegistry

from workers.monitoring.boards import Boards
from workers.monitoring.pages.base import Page


class MetricsPage(Page):
    """For Prometheus. Flower alone shows them to everybody; ours name projects and what they spend, so ask for a login."""

    def initialize(self, boards: Boards, *, registry: CollectorRegistry, is_open: bool) -> None:
        """Take the metrics of the pool; Tornado calls this."""
        super().initialize(boards)
        self._registry = registry
        self._is_open = is_open

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
