"""The page of providers: every connection with its health, its limits and what waits for it."""

from datetime import timedelta
from typing import NamedTuple

from workers.monitoring.pages.base import Page
from workers.monitoring.pool.connections import ConnectionRow, State, connection_rows

#: Lines of one page.
_MOST = 100
_DAY = timedelta(days=1)
#: Hours of it, the present one included, that tell how a connection fares.
_LATELY = 2

#: State → how it is coloured.
COLOURS = {
    State.OPEN: "bad",
    State.HELD: "bad",
    State.FAILING: "warn",
    State.BUSY: "warn",
    State.OK: "ok",
    State.IDLE: "idle",
}


class _Look(NamedTuple):
    rows: list[ConnectionRow]
    counts: dict[State, int]
    providers: list[str]


class ProvidersPage(Page):
    """How each connection fares, those in trouble first."""

    async def get(self) -> None:
        """Show it."""
        arguments = self.arguments()
        state, provider, project = (arguments.get(name, "").strip() for name in ("state", "provider", "project"))
        look = await self.background(self._look)
        fitting = [
            row
            for row in look.rows
            if (not state or row.state == state)
            and (not provider or provider in row.providers)
            and (not project or project in row.projects or project == row.name.project)
        ]
        self.show(
            "byom_providers.html",
            tab="providers",
            heading="Providers",
            rows=fitting[:_MOST],
            lines=len(fitting),
            counts=look.counts,
            providers=look.providers,
            chosen={"state": state, "provider": provider, "project": project},
            states=State,
            colours=COLOURS,
            now=self.boards.clock.now(),
        )

    def _look(self) -> _Look:
        boards = self.boards
        # The same hours as on the page of usage; and whatever else is at hand tells since when credentials are used.
        day = boards.book.span(_DAY).slices
        known = boards.book.known().slices
        rows = connection_rows(
            boards.meters.readings(), boards.lanes.lanes(), known, since=day[0].start, lately=day[-_LATELY].start
        )
        counts = {state: sum(row.state is state for row in rows) for state in State}
        return _Look(rows, counts, sorted({provider for row in rows for provider in row.providers}))
