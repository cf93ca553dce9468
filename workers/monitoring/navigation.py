"""Flower's templates with ours beside them, and our entries in its navigation bar.

The bar stays Flower's own: its source is read, and our entries are put at the end of its first list. Where Flower
changes so much that the place is not found, the pages still work, the bar is Flower's alone, and a test and a log line
say so.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from tornado.template import Loader, Template

_log = structlog.get_logger(__name__)

_TEMPLATES = Path(__file__).parent / "templates"
_BAR = "navbar.html"
#: The end of the list of Flower's own pages, which is the first list.
_END = re.compile(r"</ul>")
#: What makes it the list that is meant.
_KNOWN = ("reverse_url('workers')", "reverse_url('tasks')", "active_tab ==", 'class="nav-item"')


class Entry(NamedTuple):
    """A page in the navigation bar."""

    #: Name of its handler, and of its tab.
    name: str
    label: str


ENTRIES = (Entry("usage", "Usage"), Entry("providers", "Providers"), Entry("lanes", "Lanes"))


class Templates(Loader):
    """Finds templates: ours first, then Flower's."""

    def __init__(self, flower: str) -> None:
        """`flower` is the folder of Flower's templates."""
        super().__init__(flower)

    def _create_template(self, name: str) -> Template:
        own = _TEMPLATES / name
        if own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        if name != _BAR:
            return super()._create_template(name)
        source = (Path(self.root) / name).read_text(encoding="utf-8")
        extended = with_entries(source, ENTRIES)
        if extended is None:
            _log.error(
                "navigation_not_extended", mend="this version of Flower is not known here; see docs/monitoring.md"
            )
        return Template(extended or source, name=name, loader=self)


def with_entries(source: str, entries: Sequence[Entry]) -> str | None:
    """The source of the navigation bar with more entries; None when it is not the bar that we know."""
    end = _END.search(source)
    if end is None or not all(known in source[: end.start()] for known in _KNOWN):
        return None
    items = "".join(_item(entry) for entry in entries)
    return source[: end.start()] + items + source[end.start() :]


def _item(entry: Entry) -> str:
    current = f"{{% if active_tab == '{entry.name}' %}}"
    return (
        f'<li class="nav-item"><a class="nav-link{current} active{{% end %}}" '
        f'href="{{{{ reverse_url(\'{entry.name}\') }}}}" {current}aria-current="page"{{% end %}}>{entry.label}</a></li>'
    )
