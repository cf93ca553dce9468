"""Saving connections and projects, with every check that can be made before anything is written."""

from config.connections.chain import check_destination, is_primary, too_many, validate
from config.connections.checks import check_labels
from config.connections.documents import Document, connection_documents, dump
from config.connections.model import Connection
from config.connections.paths import PROJECTS, account_path
from config.connections.profiles import ProjectProfile, read_project, write_project
from config.errors import InvalidConnection
from config.secret_looks import secret_kind
from config.store import ParameterStore, join_path
from tasks.contract import Role
from tasks.contract.fields import is_identifier


def save_connection(store: ParameterStore, scope: str, document: Document) -> Connection:
    """Validate a connection and write it below `scope` (a project's or an account's path).

    A project's document may leave out what it inherits from the account's connection of the same name; only what it
    sets is written.

    Returns:
        The connection with what it inherits.

    Raises:
        InvalidConnection: it does not fit its provider, has labels that its provider does not take, would send the
            account's credential elsewhere, or would be a second primary; nothing was written.
    """
    subject = f"connection '{_shown(document.get('name'))}' of {scope}"
    inherited = _inherited(store, scope)
    defaults = inherited.get(str(document.get("name")), {})
    connection = validate({**defaults, **document}, subject)
    check_destination(document, defaults, subject)
    check_labels(connection.provider, connection.labels, subject=subject)
    name = connection.name
    if connection.role is Role.PRIMARY:
        others = {
            other: {**inherited.get(other, {}), **own} for other, own in connection_documents(store, scope).items()
        }
        primaries = [other for other, merged in others.items() if other != name and is_primary(merged)]
        if primaries:
            raise InvalidConnection(f"{scope} would have {too_many([*primaries, name])}")
    own = connection.model_dump(mode="json", include=document.keys() - {"name"})
    store.put(join_path(scope, "connections", name), dump(own), secure=False)
    return connection


def save_project(store: ParameterStore, project: str, *, account: str | None = None) -> None:
    """Create a project, or move it to another account; what else is set for it stays.

    Raises:
        InvalidConnection: its profile is stored damaged.
        StoreError: this cannot be the name of a project, or of an account.
    """
    if account:
        account_path(account)
    profile = read_project(store, project) or ProjectProfile()
    write_project(store, project, profile.model_copy(update={"account": account}))


def list_projects(store: ParameterStore) -> list[str]:
    """Names of all configured projects."""
    below = [parameter.path.removeprefix(f"{PROJECTS}/").split("/") for parameter in store.list(PROJECTS, secure=False)]
    return [parts[0] for parts in below if parts[1:] == ["profile"]]


def _inherited(store: ParameterStore, scope: str) -> dict[str, Document]:
    """The account's connections, for the scope of a project that has an account."""
    if not scope.startswith(f"{PROJECTS}/"):
        return {}
    profile = read_project(store, scope.removeprefix(f"{PROJECTS}/"))
    return connection_documents(store, account_path(profile.account)) if profile and profile.account else {}


def _shown(name: object) -> str:
    """A connection's name as messages may show it: until it is validated it may be anything, a pasted key too."""
    is_name = isinstance(name, str) and is_identifier(name) and not secret_kind(name)
    return str(name) if is_name else "?"
