"""How commands speak of projects that are paused: who paused one and forgot it is to be reminded wherever he looks."""

from collections.abc import Iterable, Sequence

from workers.lanes.control import CLASSES
from workers.lanes.views import Pause


def paused_projects(pauses: Iterable[Pause]) -> list[tuple[str, str]]:
    """What is paused, project by project: `project 'acme'` or `project 'acme' (backfill)`, and its name."""
    by_project: dict[str, list[Pause]] = {}
    for pause in pauses:
        by_project.setdefault(pause.project, []).append(pause)
    return [(f"project '{project}'{_which(some)}", project) for project, some in by_project.items()]


def resume_command(project: str) -> str:
    """What lets a project go again."""
    return f"byom lanes resume --project {project}"


def _which(pauses: Sequence[Pause]) -> str:
    if {pause.priority for pause in pauses if pause.queue is None} == set(CLASSES):
        return ""
    return f" ({', '.join(_one(pause) for pause in pauses)})"


def _one(pause: Pause) -> str:
    return pause.priority if pause.queue is None else f"{pause.priority} at {pause.queue.rpartition('.')[2]}"
