"""The one place where commands write configuration: through `Admin`, which records and announces it.

**All or nothing without transactions.** No parameter store has transactions, so what changes several parameters at
once is made so here:

1. Everything is judged on a draft in memory first (`config.connections.draft`); nothing is written that does not fit.
2. Before each write the parameter is read again. Somebody else's change since the draft was taken ends the run, and
   what this run wrote is taken back.
3. A failed write, or Ctrl-C, takes back what was written, the newest first, where nobody else has written since.
4. A process that is killed in between leaves some parameters new and the others old. Each is whole, and the same
   command again writes only what still differs: every command says what is to be, not what is to be added.

A reader in the middle of a run may see some parameters new and the others old, for as long as the run takes:
milliseconds in a file, tens of milliseconds a parameter in SSM. Additions come first and removals last, so that what
is seen then is mostly the old chain or the new one. Only where two connections of a chain swap their roles does it
have two primaries, or none, for that moment.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import SecretStr

from config.connections import EffectiveConnection
from config.connections.documents import Document, load
from config.connections.draft import Change
from config.connections.paths import Level, split_path
from config.credentials import history_of, read_credential
from config.errors import ConfigError, CredentialMissing, InvalidConnection, InvalidCredential
from config.store import ParameterStore
from workers.cli.errors import CommandError, ExitCode
from workers.configuration.admin import Admin, Entry
from workers.configuration.audit import difference


def write_changes(admin: Admin, changes: Sequence[Change], *, seen: ParameterStore | None = None) -> None:
    """Write all changes, or none of them as far as that is in anybody's power (see above).

    Args:
        admin: records and announces them.
        changes: as a draft found them.
        seen: the draft, if what it holds is how all the levels that change are to be.

    Raises:
        CommandError: somebody else changed one of the parameters meanwhile, or what was written could not be taken
            back; says which and what to do.
        StoreError: the store cannot be written; what was written is taken back.
    """
    if changes:
        with admin.records([_entry(change) for change in changes], seen=seen, in_steps=True):
            _write_all(admin.store, changes)


def remove_credential(admin: Admin, level: Level, name: str, *, reason: str) -> bool:
    """Delete all versions of a credential that no connection names; False when there was none to delete.

    One that is stored damaged stays: nobody can say which versions it has.
    """
    with suppress(InvalidCredential):
        history = history_of(admin.store, level.path, name)
        if history is not None and history.left:
            admin.delete_credential(level.path, name, reason=reason)
            return True
    return False


def remove_level(admin: Admin, level: Level) -> int:
    """Remove everything of a project or account, secrets included; the profile first, so that nobody resolves half.

    Returns:
        How many parameters there were.
    """
    store = admin.store
    paths = [parameter.path for parameter in store.list(level.path, secure=False)]
    paths += [secret.path for secret in store.secrets(level.path)]
    paths.sort(key=lambda path: (not path.endswith("/profile"), path))
    removed = {"removed": [path.removeprefix(f"{level.path}/") for path in paths]}
    entry = Entry(action=f"{level.kind}.remove", scope=level.path, subject=level.kind, changes=removed)
    with admin.records([entry], in_steps=True):
        for path in paths:
            store.delete(path)
    return len(paths)


def has_credential(store: ParameterStore, effective: EffectiveConnection) -> bool:
    """Whether the store holds what a connection needs to be called."""
    try:
        read_credential(store, effective)
    except CredentialMissing:
        return False
    return True


def credential_command(effective: EffectiveConnection) -> str:
    """The command that adds the credential which a connection names."""
    owner = Level.project(effective.project)
    if effective.account and not effective.credential_is_of(owner.path):
        owner = Level.account(effective.account)
    return f"byom credential add {owner.flag} --name {effective.connection.credential} --activate --key-env NAME"


def _entry(change: Change) -> Entry:
    """What the audit log says of a change, such as `project.save` of `profile`."""
    scope, subject = split_path(change.path)
    kind = "connection" if subject.startswith("connections/") else scope.split("/")[2].removesuffix("s")
    said: dict[str, Any] = difference(_document(change.before), _document(change.after))
    action = f"{kind}.{'save' if change.after is not None else 'remove'}"
    return Entry(action=action, scope=scope, subject=subject, changes=said)


def _document(value: SecretStr | None) -> Document:
    """A stored document, for the log; a damaged one says nothing."""
    with suppress(InvalidConnection):
        return load(value, "document") if value is not None else {}
    return {}


def _write_all(store: ParameterStore, changes: Sequence[Change]) -> None:
    begun: list[Change] = []
    try:
        for change in changes:
            _see_unchanged(store, change)
            # Before the write: one that reports a failure may have happened all the same.
            begun.append(change)
            _write(store, change.path, change.after)
    except BaseException as error:
        if left := _take_back(store, begun):
            raise CommandError(
                f"the store failed in the middle ({type(error).__name__}), and {', '.join(left)} could not be put "
                "back. When the store answers again, run the same command again: it writes only what still differs",
                code=ExitCode.UNREACHABLE,
                details={"left": left},
            ) from error
        raise


def _see_unchanged(store: ParameterStore, change: Change) -> None:
    if _now(store, change) != change.before:
        raise CommandError(
            f"{change.path} was changed by somebody else meanwhile; nothing was changed. Run the command again",
            code=ExitCode.FAILED,
        )


def _now(store: ParameterStore, change: Change) -> SecretStr | None:
    parameter = store.get(change.path)
    return parameter.value if parameter is not None else None


def _write(store: ParameterStore, path: str, value: SecretStr | None) -> None:
    if value is None:
        store.delete(path)
    else:
        store.put(path, value, secure=False)


def _take_back(store: ParameterStore, begun: Sequence[Change]) -> list[str]:
    """Put back what was there before; returns the paths where that failed."""
    left: list[str] = []
    for change in reversed(begun):
        try:
            # What somebody else wrote after us is theirs.
            if _now(store, change) == change.after:
                _write(store, change.path, change.before)
        except ConfigError:
            left.append(change.path)
    return left
