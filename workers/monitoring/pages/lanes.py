"""The page of lanes: what waits, why, and what can be done about it."""

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import structlog
import tornado.web

from workers.lanes.views import LaneView, Pause
from workers.monitoring.pages.base import Page
from workers.monitoring.pool.lanes import PRIORITIES

#: Lines of the page.
_MOST = 200
#: The longest name in a form.
_LONGEST = 1_000

#: What was done, as it stands in the address of the page that comes after it → what the page says.
DONE = {
    "pause": "Paused. What runs already goes on; nothing more is handed out of these lanes.",
    "resume": "Resumed.",
    "wake": "Woken: what waited for a time is tried at once. Limits hold all the same.",
    "weight": "The weight holds from now on. A weight in the project's profile is said anew by its next job.",
}

_log = structlog.get_logger(__name__)


class LanesPage(Page):
    """What waits; its controls are forms."""

    async def get(self) -> None:
        """Show it."""
        arguments = self.arguments()
        chosen = {name: arguments.get(name, "").strip() for name in ("project", "priority", "queue")}
        lanes, pauses = await self.background(lambda: (self.boards.lanes.lanes(), self.boards.lanes.pauses()))
        fitting = [
            lane for lane in lanes if all(not value or getattr(lane, name) == value for name, value in chosen.items())
        ]
        fitting.sort(key=lambda lane: (-lane.oldest_age, -lane.depth, lane.project, lane.queue, lane.priority))
        self.show(
            "byom_lanes.html",
            tab="lanes",
            heading="Lanes",
            lanes=fitting[:_MOST],
            lines=len(fitting),
            jobs=sum(lane.depth + lane.behind for lane in fitting),
            tokens=sum(lane.tokens for lane in fitting),
            oldest=max((lane.oldest_age for lane in fitting), default=0.0),
            pauses=_without_lanes(pauses, lanes),
            chosen=chosen,
            queues=sorted({lane.queue for lane in lanes}),
            priorities=PRIORITIES,
            done=DONE.get(arguments.get("done", "")),
            read_only=self.application.options.read_only,
        )

    async def post(self) -> None:
        """Do what a form asks for, and show the page again."""
        if self.application.options.read_only:
            raise tornado.web.HTTPError(403, "Flower is read-only here")
        action = self.get_body_argument("action", "")
        project = self._name("project")
        priority, queue = self._name("priority"), self._name("queue")
        if action not in DONE or not project or priority not in {"", *PRIORITIES}:
            raise tornado.web.HTTPError(400, "There is no such control, or it names no project.")
        work = self._work(action, project, priority or None, queue or None)
        try:
            await self.background(work)
        except ValueError as error:
            self.trouble(400, "Nothing was changed", f"{error}.", tab="lanes")
            return
        _log.warning(
            "lanes_changed",
            action=action,
            project=project,
            priority=priority,
            queue=queue,
            address=self.request.remote_ip,
        )
        back = {name: value for name in ("project", "priority", "queue") if (value := self._name(f"back_{name}"))}
        self.redirect(f"{self.reverse_url('lanes')}?{urlencode({**back, 'done': action})}", status=303)

    def _work(self, action: str, project: str, priority: str | None, queue: str | None) -> Callable[[], object]:
        board = self.boards.lanes
        match action:
            case "pause":
                return lambda: board.pause(project=project, priority=priority, queue=queue)
            case "resume":
                return lambda: board.resume(project=project, priority=priority, queue=queue)
            case "wake":
                return lambda: board.wake(project=project)
            case _:
                weight = self._weight()
                return lambda: board.weight(project, weight)

    def _weight(self) -> float:
        try:
            return float(self.get_body_argument("weight", ""))
        except ValueError:
            raise tornado.web.HTTPError(400, "The weight is not a number.") from None

    def _name(self, name: str) -> str:
        value: str = self.get_body_argument(name, "").strip()
        if len(value) > _LONGEST or not value.isprintable():
            raise tornado.web.HTTPError(400, f"The {name} cannot be the name of anything.")
        return value


def _without_lanes(pauses: Sequence[Pause], lanes: Sequence[LaneView]) -> list[Pause]:
    """Pauses that no line of the table shows; they must be seen to be ended."""
    shown = {(lane.project, lane.priority) for lane in lanes if lane.paused}
    return [pause for pause in pauses if (pause.project, pause.priority) not in shown]
