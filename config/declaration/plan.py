"""What would have to change for a store to say what a file says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.connections import read_account, read_project
from config.connections.documents import Document, connection_documents, dump
from config.connections.draft import Draft
from config.connections.paths import Level
from config.declaration.model import AccountEntry, ConfigFile, ProjectEntry, as_set
from config.declaration.snapshot import all_levels, level_settings
from config.errors import InvalidConnection
from config.store import ParameterStore, join_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One document that differs: a profile, or a connection."""

    level: Level
    #: Name of the connection; None for the profile.
    connection: str | None
    action: Literal["added", "changed", "removed"]
    #: Field → (as it is, as it is to be); None where it is not set.
    fields: Mapping[str, tuple[Any, Any]]

    @property
    def path(self) -> str:
        """Where it stands in the file."""
        what = "profile" if self.connection is None else f"connections.{self.connection}"
        return f"{self.level.kind}s.{self.level.name}.{what}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        fields = {name: {"before": before, "after": after} for name, (before, after) in self.fields.items()}
        return {"path": self.path, "action": self.action, "fields": fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying a file does."""

    draft: Draft
    differences: list[Difference]
    #: The levels that are judged: those that change, and the projects that inherit from them.
    concerned: list[Level]


def make_plan(
    store: ParameterStore, file: ConfigFile, *, only: frozenset[Level] = frozenset(), prune: bool = False
) -> Plan:
    """Compare a file with a store, and change a draft accordingly.

    Args:
        store: what is compared with; nothing is written to it.
        file: what is to be.
        only: leave all other levels alone; empty means all of the file.
        prune: remove what the file does not name: connections of the levels that it names, and whole levels.

    Raises:
        ConfigError: the store cannot be read, or holds damaged profiles.
    """
    entries: dict[Level, AccountEntry | ProjectEntry] = {
        **{Level.account(name): account for name, account in file.accounts.items()},
        **{Level.project(name): project for name, project in file.projects.items()},
    }
    stored = all_levels(store) if prune else []
    wanted = [level for level in dict.fromkeys([*entries, *stored]) if not only or level in only]
    draft = Draft(store, wanted)
    differences = [
        difference
        for level in sorted(wanted, key=lambda level: (level.kind, level.name))
        for difference in _settle(draft, level, entries.get(level), prune=prune)
    ]
    return Plan(draft=draft, differences=differences, concerned=_concerned(draft, differences))


def _settle(
    draft: Draft, level: Level, entry: AccountEntry | ProjectEntry | None, *, prune: bool
) -> Iterable[Difference]:
    """Bring one level of a draft to what the file says of it."""
    path = join_path(level.path, "profile")
    before = None if draft.store.get(path) is None else _profile(draft, level)
    after = None if entry is None else entry.profile.model_dump(mode="json", exclude_defaults=True)
    # An account without a profile has the defaults; a project without one is not there.
    if level.kind == "account":
        before, after = before or None, after or None
    yield from _replace(draft, level, None, before, after)
    documents = {} if entry is None else entry.documents()
    stored = _stored(draft, level)
    for name in sorted({*documents, *(stored if prune else ())}):
        yield from _replace(draft, level, name, stored.get(name), documents.get(name))


def _replace(
    draft: Draft, level: Level, connection: str | None, before: Document | None, after: Document | None
) -> Iterable[Difference]:
    names = ("profile",) if connection is None else ("connections", connection)
    path = join_path(level.path, *names)
    if before == after:
        return
    if after is None:
        draft.store.delete(path)
    else:
        draft.store.put(path, dump(after), secure=False)
    old, new = before or {}, after or {}
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    yield Difference(
        level=level,
        connection=connection,
        action="added" if before is None else "removed" if after is None else "changed",
        fields={name: (old.get(name), new.get(name)) for name in changed},
    )


def _profile(draft: Draft, level: Level) -> Document:
    is_project = level.kind == "project"
    profile = read_project(draft.store, level.name) if is_project else read_account(draft.store, level.name)
    return {} if profile is None else profile.model_dump(mode="json", exclude_defaults=True)


def _stored(draft: Draft, level: Level) -> dict[str, Document]:
    """What the level sets of its connections; a damaged one differs from all that a file can say."""
    try:
        return {name: as_set(settings) for name, settings in level_settings(draft.store, level).items()}
    except InvalidConnection:
        return connection_documents(draft.store, level.path)


def _concerned(draft: Draft, differences: list[Difference]) -> list[Level]:
    """The levels that change and are still there, and their heirs."""
    changed = list(dict.fromkeys(difference.level for difference in differences))
    heirs = [heir for level in changed if level.kind == "account" for heir in draft.include_heirs(level.name)]
    for level in changed:
        # A project that moves to another account inherits from there now.
        profile = read_project(draft.store, level.name) if level.kind == "project" else None
        if profile is not None and profile.account:
            draft.include(Level.account(profile.account))
    gone = {level for level in changed if level.kind == "project" and read_project(draft.store, level.name) is None}
    return [level for level in dict.fromkeys([*changed, *heirs]) if level not in gone]
