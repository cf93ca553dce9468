"""Producers that sign their jobs: for which projects they may speak, and with which keys they sign.

/byom/producers/<name>/profile   the projects, and which versions of the key there are; not secret
/byom/producers/<name>/keys/<n>  one version of its key

Keys are `whsec_` and base64, as Standard Webhooks have them, so that its libraries sign with them in any language.
While a key is being replaced both versions count. The producer named `pool` is the pool itself: commands and workers
sign with its key what they send again or send by order of an operator. It is made together with the first other one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from config.connections.documents import dump, load
from config.errors import InvalidConnection, InvalidProducer
from config.signing_secrets import SecretVersions, read_secrets, replace_secret
from config.store import ParameterStore, join_path
from tasks.contract.problems import problems

PRODUCERS: Final = "/byom/producers"

#: The pool itself, as a producer.
POOL: Final = "pool"

#: In place of names of projects: all that there are and will be.
EVERY: Final = "*"


class SigningProducer(BaseModel):
    """Who may send jobs, of which projects."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    #: Names, or `EVERY` alone.
    projects: tuple[str, ...]
    #: Number of the key → what is known of it.
    keys: SecretVersions = {}
    #: Says where it was read, and is not stored.
    name: str

    @property
    def path(self) -> str:
        """Its path in the store."""
        return producer_path(self.name)

    def speaks_for(self, project: str) -> bool:
        """Whether it may send jobs of a project."""
        return EVERY in self.projects or project in self.projects


def producer_path(name: str) -> str:
    """Parameter path of a producer.

    Raises:
        StoreError: this cannot be the name of a producer.
    """
    return join_path(PRODUCERS, name)


def read_producer(store: ParameterStore, name: str) -> SigningProducer | None:
    """One producer, or None.

    Raises:
        InvalidProducer: it is stored damaged.
        StoreError: the store cannot be read, or this cannot be the name of a producer.
    """
    parameter = store.get(join_path(producer_path(name), "profile"))
    return None if parameter is None else _parse(name, parameter.value)


def list_producers(store: ParameterStore) -> list[SigningProducer]:
    """All producers in the order of their names, the pool itself among them.

    Raises:
        InvalidProducer: one is stored damaged.
        StoreError: the store cannot be read.
    """
    found = store.list(PRODUCERS, secure=False)
    return [_parse(parameter.path.split("/")[-2], parameter.value) for parameter in found]


def save_producer(store: ParameterStore, name: str, *, projects: Sequence[str], now: datetime) -> SigningProducer:
    """Make a producer with a key of its own, or let one that is there speak for other projects, with the key it has.

    Raises:
        InvalidProducer: it does not fit; nothing was written.
        StoreError: the store cannot be written, or this cannot be the name of a producer.
    """
    producer_path(name)
    if name == POOL:
        raise InvalidProducer(
            f"'{POOL}' is the pool itself, which speaks for all projects and is made with the first producer; "
            "choose another name"
        )
    if not projects or (EVERY in projects and len(projects) > 1):
        raise InvalidProducer(f"producer '{name}': name the projects that it may speak for, or all of them")
    earlier = read_producer(store, name)
    if read_producer(store, POOL) is None:
        _with_new_key(store, SigningProducer(name=POOL, projects=(EVERY,)), now=now, overlap=None)
    projects = tuple(sorted(set(projects)))
    if earlier is None:
        return _with_new_key(store, SigningProducer(name=name, projects=projects), now=now, overlap=None)
    changed = earlier.model_copy(update={"projects": projects})
    _write(store, changed)
    return changed


def rotate_key(
    store: ParameterStore, producer: SigningProducer, *, now: datetime, overlap: timedelta
) -> SigningProducer:
    """Give a producer a new key; the one before it counts too for the time of the overlap, older ones no more.

    Raises:
        StoreError: the store cannot be written.
    """
    return _with_new_key(store, producer, now=now, overlap=overlap)


def remove_producer(store: ParameterStore, producer: SigningProducer) -> None:
    """Remove a producer and its keys: whatever it has signed counts no more, also what waits already.

    Raises:
        InvalidProducer: it is the pool itself, and there are others.
        StoreError: the store cannot be written.
    """
    if producer.name == POOL and len(list_producers(store)) > 1:
        raise InvalidProducer(
            f"'{POOL}' signs what the pool sends itself, and stays while there are other producers; "
            f"to replace its key: byom producer rotate {POOL}"
        )
    store.delete(join_path(producer.path, "profile"))
    for number in producer.keys:
        store.delete(_key_path(producer, number))


def read_keys(store: ParameterStore, producer: SigningProducer, *, now: datetime) -> list[SecretStr]:
    """The keys of a producer that count now, the newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    return read_secrets(store, producer.keys, path=partial(_key_path, producer), now=now)


def _with_new_key(
    store: ParameterStore, producer: SigningProducer, *, now: datetime, overlap: timedelta | None
) -> SigningProducer:
    def write(versions: SecretVersions) -> SigningProducer:
        changed = producer.model_copy(update={"keys": versions})
        _write(store, changed)
        return changed

    return replace_secret(
        store, producer.keys, path=partial(_key_path, producer), write=write, now=now, overlap=overlap
    )


def _write(store: ParameterStore, producer: SigningProducer) -> None:
    document = producer.model_dump(mode="json", exclude={"name"})
    store.put(join_path(producer.path, "profile"), dump(document), secure=False)


def _key_path(producer: SigningProducer, number: int) -> str:
    return join_path(producer.path, "keys", str(number))


def _parse(name: str, value: SecretStr) -> SigningProducer:
    try:
        document: dict[str, Any] = load(value, f"the producer '{name}'")
    except InvalidConnection as error:
        raise InvalidProducer(str(error)) from None
    try:
        return SigningProducer.model_validate({**document, "name": name})
    except ValidationError as error:
        found = "; ".join(str(problem) for problem in problems(error, whole="producer"))
    raise InvalidProducer(f"the producer '{name}' does not fit: {found}; save it again")
