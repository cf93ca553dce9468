"""A draft of the configuration: a copy of some scopes, changed and judged in memory before anything is written.

A draft holds profiles and connections only. Secrets are never copied into it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from config.connections.chain import account_connections, project_connections
from config.connections.documents import Document, connection_documents
from config.connections.paths import ACCOUNTS, PROJECTS, Level, account_path
from config.connections.profiles import read_project
from config.connections.save import list_projects
from config.errors import InvalidConnection, UnknownProject
from config.store import MemoryStore, Parameter, ParameterStore, join_path

#: Levels that are read one by one.
_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One document that is to be written or removed."""

    path: str
    #: As the store held it when the draft was taken; None when it held nothing.
    before: SecretStr | None
    #: As it is to be; None removes it.
    after: SecretStr | None


class Draft:
    """A copy of scopes, to be changed through `store` with the functions that write to any store."""

    def __init__(self, original: ParameterStore, levels: Iterable[Level]) -> None:
        """Copy levels, and the accounts that projects among them inherit from.

        Raises:
            ConfigError: the store cannot be read, or the profile of a project is damaged.
        """
        self.store = MemoryStore()
        self._original = original
        self._before: dict[str, SecretStr] = {}
        self._copied: set[Level] = set()
        self.include(*levels)

    def include(self, *levels: Level) -> None:
        """Copy more levels, those that are here already aside.

        Raises:
            ConfigError: as the constructor.
        """
        wanted = [level for level in dict.fromkeys(levels) if level not in self._copied]
        self._copied.update(wanted)
        for parameter in _documents(self._original, wanted):
            self._before[parameter.path] = parameter.value
            self.store.put(parameter.path, parameter.value, secure=False)
        profiles = [read_project(self.store, level.name) for level in wanted if level.kind == "project"]
        accounts = [Level.account(profile.account) for profile in profiles if profile and profile.account]
        if accounts:
            self.include(*accounts)

    def include_heirs(self, account: str) -> list[Level]:
        """Copy the projects that inherit from an account, as the store has them; returns them in their order.

        Raises:
            ConfigError: as the constructor.
        """
        heirs = heirs_of(self._original, account)
        self.include(*heirs)
        return heirs

    def changes(self) -> list[Change]:
        """What differs from the store as it was copied, in an order in which no reader meets what is half there.

        Connections come before the profile that makes their project known, and removals last, profiles first.
        """
        after = {parameter.path: parameter.value for parameter in self.store.list("/byom")}
        found = [
            Change(path=path, before=self._before.get(path), after=after.get(path))
            for path in sorted({*self._before, *after})
        ]
        return sorted((change for change in found if change.before != change.after), key=_turn)


def _documents(store: ParameterStore, levels: Sequence[Level]) -> Iterator[Parameter]:
    """Profiles and connections of levels. Of many levels they are read in one go: each read may be a whole file."""
    if len(levels) <= _FEW:
        for level in levels:
            profile = store.get(join_path(level.path, "profile"))
            if profile:
                yield profile
            yield from store.list(join_path(level.path, "connections"), secure=False)
        return
    scopes = {level.path for level in levels}
    for parent in (PROJECTS, ACCOUNTS):
        for parameter in store.list(parent, secure=False):
            name, _, rest = parameter.path.removeprefix(f"{parent}/").partition("/")
            if f"{parent}/{name}" in scopes and (rest == "profile" or rest.startswith("connections/")):
                yield parameter


def _turn(change: Change) -> tuple[bool, bool]:
    removal = change.after is None
    is_profile = change.path.endswith("/profile")
    return removal, is_profile is not removal


def heirs_of(store: ParameterStore, account: str) -> list[Level]:
    """The projects that inherit from an account.

    Raises:
        ConfigError: the store cannot be read, or a profile is damaged.
    """
    # Read in one go, for the same reason as above.
    read = MemoryStore()
    for parameter in store.list(PROJECTS, secure=False):
        if parameter.path.endswith("/profile"):
            read.put(parameter.path, parameter.value, secure=False)
    profiles = ((Level.project(name), read_project(read, name)) for name in list_projects(read))
    return [level for level, profile in profiles if profile is not None and profile.account == account]


def broken(store: ParameterStore, level: Level) -> str | None:
    """Why the connections of a level cannot be resolved; None when they can, though there may be no primary.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        if level.kind == "project":
            project_connections(store, level.name)
        else:
            account_connections(store, level.name)
    except UnknownProject:
        return None
    except InvalidConnection as error:
        return str(error)
    return None


def level_document(store: ParameterStore, level: Level, name: str) -> Document | None:
    """What a level itself sets of a connection; None when it sets nothing.

    Raises:
        InvalidConnection: it is stored damaged.
    """
    return connection_documents(store, level.path).get(name)


def inherited_document(store: ParameterStore, level: Level, name: str) -> Document | None:
    """What a project inherits of a connection; None when there is nothing.

    Raises:
        InvalidConnection: it is stored damaged.
    """
    profile = read_project(store, level.name) if level.kind == "project" else None
    account = profile.account if profile is not None else None
    return connection_documents(store, account_path(account)).get(name) if account else None
