"""Copying a whole store into another one, such as a laptop's file into SSM."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from config.connections.paths import split_path
from config.kms import kms_key_for
from config.store import Parameter, ParameterStore

#: All that this software keeps lies below it.
ROOT = "/byom"


class Outcome(StrEnum):
    """What came of one value."""

    COPIED = "copied"
    #: The target has the same value; nothing was written.
    ALREADY = "already"
    #: The target has another value, which stays.
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One path, and what came of it."""

    path: str
    outcome: Outcome


def list_paths(source: ParameterStore) -> list[str]:
    """All paths of a store: first what is not secret, so that a copy that stops early lacks secrets, not their owners.

    Raises:
        StoreError: the store cannot be read.
    """
    plain = [parameter.path for parameter in source.list(ROOT, secure=False)]
    return [*plain, *(facts.path for facts in source.secrets(ROOT))]


def copy(source: ParameterStore, target: ParameterStore, *, overwrite: bool = False) -> Iterator[Copied]:
    """Copy every value, one after the other. May be stopped and started again.

    Secrets are written under the KMS key that their account has in the source. Version numbers are the target's own.

    Args:
        source: is only read.
        target: keeps what the source has not.
        overwrite: replace values of the target that differ, instead of leaving them.

    Raises:
        InvalidConnection: a profile in the source is stored damaged.
        StoreConflict: somebody else writes to the target at the same moment.
        StoreError: one of the stores cannot be read, or the target cannot be written.
    """

    @cache
    def key_of(scope: str) -> str | None:
        return kms_key_for(source, scope)

    for path in list_paths(source):
        parameter = source.get(path)
        if parameter is None:
            continue
        there = target.get(path)
        outcome = _outcome(parameter, there, overwrite=overwrite)
        if outcome is Outcome.COPIED:
            scope, _ = split_path(path)
            target.put(
                path,
                parameter.value,
                secure=parameter.secure,
                expected_version=there.version if there else 0,
                kms_key=key_of(scope) if parameter.secure else None,
            )
        yield Copied(path=path, outcome=outcome)


def _outcome(parameter: Parameter, there: Parameter | None, *, overwrite: bool) -> Outcome:
    if there is None:
        return Outcome.COPIED
    if (there.value, there.secure) == (parameter.value, parameter.secure):
        return Outcome.ALREADY
    return Outcome.COPIED if overwrite else Outcome.DIFFERS
