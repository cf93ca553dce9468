"""The one place where commands write configuration.

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

from pydantic import SecretStr

from config.connections import EffectiveConnection
from config.connections.draft import Change
from config.connections.paths import Level
from config.credentials import read_credential, save_credential
from config.errors import ConfigError, CredentialMissing
from config.store import ParameterStore, join_path
from workers.cli.errors import CommandError, ExitCode


def write_changes(store: ParameterStore, changes: Sequence[Change]) -> None:
    """Write all changes, or none of them as far as that is in anybody's power (see above).

    Raises:
        CommandError: somebody else changed one of the parameters meanwhile, or what was written could not be taken
            back; says which and what to do.
        StoreError: the store cannot be written; what was written is taken back.
    """
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


def write_secret(store: ParameterStore, level: Level, name: str, secret: SecretStr) -> int:
    """Save a new version of a credential, and return its number.

    Raises:
        ConfigError: as `save_credential`.
    """
    return save_credential(store, level.path, name, secret).version


def remove_credential(store: ParameterStore, level: Level, name: str) -> bool:
    """Remove a credential with all its versions; False when there was none."""
    found = store.delete(join_path(level.path, "credentials", name))
    for parameter in store.list(join_path(level.path, "secrets", name)):
        found = store.delete(parameter.path) or found
    return found


def remove_level(store: ParameterStore, level: Level) -> int:
    """Remove everything of a project or account, secrets included; the profile first, so that nobody resolves half.

    Returns:
        How many parameters there were.
    """
    paths = [parameter.path for parameter in store.list(level.path)]
    for path in sorted(paths, key=lambda path: not path.endswith("/profile")):
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
    if effective.account and not effective.credential_scope.startswith(f"{owner.path}/"):
        owner = Level.account(effective.account)
    return f"byom credential add {owner.flag} --name {effective.connection.credential} --key-env VARIABLE"


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
