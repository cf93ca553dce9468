"""Reading the configuration of a store as a file."""

from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from config.connections import list_projects, read_account, read_project
from config.connections.documents import connection_documents
from config.connections.paths import ACCOUNTS, Level
from config.connections.profiles import AccountProfile
from config.declaration.model import AccountEntry, ConfigFile, ConnectionSettings, ProjectEntry
from config.errors import InvalidConnection
from config.store import ParameterStore
from tasks.contract.problems import problems


def snapshot(store: ParameterStore, levels: Iterable[Level] | None = None) -> ConfigFile:
    """What accounts and projects set; without `levels`, all of them.

    Raises:
        InvalidConnection: a document is stored damaged.
        StoreError: the store cannot be read.
    """
    if levels is None:
        levels = all_levels(store)
    accounts: dict[str, AccountEntry] = {}
    projects: dict[str, ProjectEntry] = {}
    for level in levels:
        connections = level_settings(store, level)
        if level.kind == "account":
            account = read_account(store, level.name)
            if connections or account != AccountProfile():
                accounts[level.name] = AccountEntry(profile=account, connections=connections)
        elif (project := read_project(store, level.name)) is not None:
            projects[level.name] = ProjectEntry(profile=project, connections=connections)
    return ConfigFile(version=1, accounts=accounts, projects=projects)


def level_settings(store: ParameterStore, level: Level) -> dict[str, BaseModel]:
    """Name → what a level sets of its connections.

    Raises:
        InvalidConnection: one of them is damaged.
    """
    found: dict[str, BaseModel] = {}
    for name, document in connection_documents(store, level.path).items():
        try:
            found[name] = ConnectionSettings.model_validate(document)
        except ValidationError as error:
            listed = "; ".join(str(problem) for problem in problems(error, whole="connection"))
        if name not in found:
            raise InvalidConnection(
                f"connection '{name}' of {level} is stored damaged: {listed}; save it again, or remove it with: "
                f"byom connection remove {level.flag} --name {name}"
            )
    return found


def all_levels(store: ParameterStore) -> list[Level]:
    """All accounts and then all projects, each in the order of their names."""
    accounts = [Level.account(name) for name in list_accounts(store)]
    return [*accounts, *(Level.project(name) for name in sorted(list_projects(store)))]


def list_accounts(store: ParameterStore) -> list[str]:
    """Names of all accounts that set anything, in order."""
    below = [parameter.path.removeprefix(f"{ACCOUNTS}/").split("/") for parameter in store.list(ACCOUNTS, secure=False)]
    return sorted({parts[0] for parts in below if parts[1] in {"profile", "connections"}})
