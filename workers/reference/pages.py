"""Which pages there are, and what prints each."""

from collections.abc import Callable, Mapping
from pathlib import Path

from workers.reference import commands, errors, events, metrics, schemas, settings

ROOT = Path(__file__).parents[2]

#: Path within the repository → what prints the page.
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": settings.render,
    "docs/errors.md": errors.render,
    "docs/reference/cli.md": commands.render,
    "docs/reference/schemas.md": schemas.render,
    "docs/reference/events.md": events.render,
    "docs/reference/metrics.md": metrics.render,
}
