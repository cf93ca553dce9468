"""Which dead letters: those that fit all that is given. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from workers.dead.letter import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What letters have to fit; what is not given fits all."""

    causes: frozenset[str] = frozenset()
    project: str | None = None
    provider: str | None = None
    connection: str | None = None
    #: Name and version.
    credential: tuple[str, int | None] | None = None
    #: When the job ended: then or later, and before.
    since: datetime | None = None
    until: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    #: `failed` or `partial`.
    status: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Selection()

    def fits(self, letter: Letter) -> bool:
        """Whether a letter is among them."""
        about = letter.about
        return (
            (not self.causes or str(about.code) in self.causes)
            and self.project in {None, about.project}
            and self.provider in {None, about.provider and str(about.provider)}
            and self.connection in {None, about.connection}
            and (self.credential is None or self._used(letter))
            and (self.since is None or about.ended_at >= self.since)
            and (self.until is None or about.ended_at < self.until)
            and all(about.labels.get(name) == value for name, value in self.labels.items())
            and (not self.ids or letter.id in self.ids)
            and self.status in {None, about.status}
        )

    def _used(self, letter: Letter) -> bool:
        used = letter.about.credential
        assert self.credential is not None  # noqa: S101 - asked for above
        name, version = self.credential
        return used is not None and used.name == name and version in {None, used.version}


def _credential(letter: Letter) -> str:
    used = letter.about.credential
    if used is None:
        return ""
    return used.name if used.version is None else f"{used.name}@{used.version}"


#: What letters are counted by.
GROUPS: Final[Mapping[str, Callable[[Letter], str]]] = {
    "cause": lambda letter: str(letter.about.code),
    "project": lambda letter: letter.about.project,
    "provider": lambda letter: str(letter.about.provider or ""),
    "connection": lambda letter: letter.about.connection or "",
    "credential": _credential,
    "day": lambda letter: f"{letter.about.ended_at:%Y-%m-%d}",
    "hour": lambda letter: f"{letter.about.ended_at:%Y-%m-%dT%H:00Z}",
}


def counted(letters: Iterable[Letter], group: str) -> Counter[str]:
    """How many letters there are of each kind.

    Args:
        letters: any number; they are not kept.
        group: one of `GROUPS`.
    """
    return Counter(map(GROUPS[group], letters))
