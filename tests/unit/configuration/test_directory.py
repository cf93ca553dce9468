import asyncio
import gc
import threading
import weakref
from dataclasses import replace

import pytest
from pydantic import SecretStr

from config.connections import account_path, project_path, save_connection, save_project
from config.credentials import save_credential
from config.errors import CredentialMissing, CredentialRefused, UnknownProject
from config.store import MemoryStore, Parameter
from tests.support import ManualClock
from workers.configuration.directory import REFUSED_FOR, SECRETS_KEPT, Directory

CONNECTION = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}


class CountingStore(MemoryStore):
    reads = 0
    hold: threading.Event | None = None

    def get(self, path: str) -> Parameter | None:
        self.reads += 1
        if self.hold is not None:
            assert self.hold.wait(timeout=10)
        return super().get(path)


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore()
    save_project(store, "acme")
    scope = project_path("acme")
    save_connection(store, scope, CONNECTION)
    save_credential(store, scope, "main", SecretStr("first"))
    return store


async def test_reads_are_trusted_for_the_ttl_and_no_longer(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=2)
    (effective,) = await directory.chain("acme")
    await directory.credential(effective)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    clock.seconds = 1.9
    cached = await directory.credential(effective)
    clock.seconds = 2.1
    read = await directory.credential(effective)

    assert cached is not None
    assert cached.version == 1
    assert read is not None
    assert (read.version, read.secret.get_secret_value()) == (2, "second")


async def test_a_fresh_read_goes_past_the_cache(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    await directory.credential(effective)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    fresh = await directory.credential(effective, fresh=True)

    assert fresh is not None
    assert fresh.version == 2


async def test_concurrent_readers_share_one_read(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    store.reads, store.hold = 0, threading.Event()

    readers = [asyncio.create_task(directory.credential(effective)) for _ in range(20)]
    await asyncio.sleep(0)
    store.hold.set()
    await asyncio.gather(*readers)

    # Which version is active, and its secret.
    assert store.reads == 2


async def test_a_failed_read_is_not_remembered(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    with pytest.raises(UnknownProject, match="project 'new' is not configured"):
        await directory.chain("new")
    (effective,) = await directory.chain("acme")
    store.delete("/byom/projects/acme/credentials/main")
    with pytest.raises(CredentialMissing, match="connection 'primary' of project 'acme'"):
        await directory.credential(effective)

    save_credential(store, project_path("acme"), "main", SecretStr("back"))

    assert await directory.credential(effective) is not None


async def test_the_cache_is_bounded(store: CountingStore) -> None:
    save_project(store, "beta")
    save_connection(store, project_path("beta"), CONNECTION)
    directory = Directory(store, clock=ManualClock(), ttl=60, entries=1)
    await directory.chain("acme")
    await directory.chain("beta")
    store.reads = 0

    await directory.chain("beta")
    assert store.reads == 0
    await directory.chain("acme")
    assert store.reads > 0


# Notices of changes


def shared(store: CountingStore) -> None:
    """Projects `one` and `two` of account `corp`, whose connection and credential they inherit."""
    corp = account_path("corp")
    save_connection(store, corp, {**CONNECTION, "credential": "shared"})
    save_credential(store, corp, "shared", SecretStr("corp-1"))
    for project in ("one", "two"):
        save_project(store, project, account="corp")


async def secret_of(directory: Directory, project: str = "acme") -> str:
    (effective,) = await directory.chain(project)
    credential = await directory.credential(effective)
    assert credential is not None
    return credential.secret.get_secret_value()


async def test_a_notice_of_a_project_drops_its_chain_and_credentials_and_no_others(store: CountingStore) -> None:
    shared(store)
    directory = Directory(store, clock=ManualClock(), ttl=60)
    for project in ("acme", "one"):
        await secret_of(directory, project)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))
    save_connection(store, project_path("acme"), CONNECTION | {"model": "gpt-4.1"})

    directory.drop(project_path("acme"))

    assert await secret_of(directory) == "second"
    assert (await directory.chain("acme"))[0].connection.model == "gpt-4.1"
    store.reads = 0
    await secret_of(directory, "one")
    assert store.reads == 0


async def test_a_notice_of_an_account_drops_what_its_projects_inherit(store: CountingStore) -> None:
    shared(store)
    directory = Directory(store, clock=ManualClock(), ttl=60)
    for project in ("acme", "one", "two"):
        await secret_of(directory, project)
    corp = account_path("corp")
    save_connection(store, corp, CONNECTION | {"credential": "other"})
    save_credential(store, corp, "other", SecretStr("corp-2"))

    directory.drop(corp)

    assert [await secret_of(directory, project) for project in ("one", "two")] == ["corp-2", "corp-2"]
    store.reads = 0
    await secret_of(directory, "acme")
    assert store.reads == 0


async def test_a_notice_of_everything_drops_everything(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    await secret_of(directory)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    directory.drop("/byom")

    assert await secret_of(directory) == "second"


async def test_a_notice_of_an_account_drops_the_projects_own_credentials_too(store: CountingStore) -> None:
    save_project(store, "acme", account="corp")
    directory = Directory(store, clock=ManualClock(), ttl=60)
    await secret_of(directory)
    store.reads = 0

    directory.drop(account_path("corp"))

    await secret_of(directory)
    assert store.reads > 0


async def test_a_name_that_begins_like_another_is_not_dropped_with_it(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    await secret_of(directory)
    store.reads = 0

    directory.drop(project_path("acm"))
    directory.drop(account_path("acme"))

    await secret_of(directory)
    assert store.reads == 0


class SlowStore(MemoryStore):
    """A read that has seen the old value waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()
        self.go_on = threading.Event()
        self.slow = ""

    def get(self, path: str) -> Parameter | None:
        found = super().get(path)
        if self.slow and path.endswith(self.slow):
            self.slow = ""
            self.seen.set()
            assert self.go_on.wait(timeout=10)
        return found


@pytest.fixture
def slow_store() -> SlowStore:
    store = SlowStore()
    save_project(store, "acme", account="corp")
    save_connection(store, project_path("acme"), CONNECTION)
    save_credential(store, project_path("acme"), "main", SecretStr("first"))
    return store


@pytest.mark.parametrize("slow", ["credentials/main", "secrets/main/1"])
@pytest.mark.parametrize("everything", [False, True], ids=["a notice", "a gap"])
async def test_a_credential_that_is_being_read_while_a_notice_comes_is_not_kept(
    slow_store: SlowStore, slow: str, *, everything: bool
) -> None:
    directory = Directory(slow_store, clock=ManualClock(), ttl=60)
    await directory.chain("acme")
    slow_store.slow = slow
    reading = asyncio.create_task(secret_of(directory))
    await asyncio.to_thread(slow_store.seen.wait, 10)
    save_credential(slow_store, project_path("acme"), "main", SecretStr("second"))
    directory.drop_everything() if everything else directory.drop(project_path("acme"))
    # Who asks now must not be given what was seen before the notice.
    asked_after = asyncio.create_task(secret_of(directory))
    slow_store.go_on.set()

    assert await asked_after == "second"
    assert await reading == "first"
    assert await secret_of(directory) == "second"


@pytest.mark.parametrize("scope", [project_path("acme"), account_path("corp")])
async def test_a_chain_that_is_being_read_while_a_notice_comes_is_not_kept(slow_store: SlowStore, scope: str) -> None:
    directory = Directory(slow_store, clock=ManualClock(), ttl=60)
    slow_store.slow = "acme/profile"
    reading = asyncio.create_task(directory.chain("acme"))
    await asyncio.to_thread(slow_store.seen.wait, 10)
    save_project(slow_store, "acme", account="other")
    # Nobody knows yet that the project belongs to the account.
    directory.drop(scope)
    slow_store.go_on.set()

    assert [link.account for link in await reading] == ["corp"]
    assert [link.account for link in await directory.chain("acme")] == ["other"]


# How long secrets are kept


async def test_a_secret_is_let_go_of_after_the_ttl_although_nobody_asks(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=2)
    await secret_of(directory)
    found = weakref.ref(directory._credentials.entries["/byom/projects/acme/credentials/main"].read)

    async def sleep(seconds: float) -> None:
        clock.seconds += seconds
        if clock.seconds > 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await directory.expire_forever(sleep)
    gc.collect()

    assert found() is None
    assert not directory._credentials.entries


async def test_a_secret_is_kept_for_minutes_at_most_however_long_reads_are_trusted(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=86_400)
    await secret_of(directory)
    (effective,) = await directory.chain("acme")

    store.reads, clock.seconds = 0, SECRETS_KEPT - 1
    await directory.credential(effective)
    assert store.reads == 0
    clock.seconds = SECRETS_KEPT
    await directory.credential(effective)
    assert store.reads > 0


# What a provider refused


async def test_a_version_that_was_refused_is_not_used_again_for_some_minutes(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=1_000)
    (effective,) = await directory.chain("acme")

    assert directory.refuse(effective, 1)
    assert not directory.refuse(effective, 1)
    with pytest.raises(
        CredentialRefused,
        match="connection 'primary' of project 'acme': the provider refused version 1 of the credential 'main'",
    ) as caught:
        await directory.credential(effective)
    assert "first" not in str(caught.value)
    clock.seconds = REFUSED_FOR - 1
    with pytest.raises(CredentialRefused):
        await directory.credential(effective, fresh=True)

    clock.seconds = REFUSED_FOR
    assert await directory.credential(effective) is not None


async def test_a_refused_version_is_looked_after_now_and_then_and_each_meter_by_itself(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=1_000)
    (effective,) = await directory.chain("acme")
    other = replace(effective, connection=effective.connection.model_copy(update={"model": "other"}))
    directory.refuse(effective, 1)

    assert not directory.looks_again(effective, 1, after=15)
    assert [directory.looks_again(other, 1, after=15) for _ in range(2)] == [True, False]
    clock.seconds = 15
    assert [directory.looks_again(effective, 1, after=15) for _ in range(2)] == [True, False]
    assert not directory.looks_again(effective, None, after=0)


async def test_another_version_is_used_at_once_although_one_was_refused(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    directory.refuse(effective, 1)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    directory.drop(project_path("acme"))

    assert await secret_of(directory) == "second"


async def test_a_refusal_is_lifted_only_by_a_notice_that_says_so(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    directory.refuse(effective, 1)

    directory.drop(project_path("acme"))
    directory.drop_everything()
    directory.drop(project_path("acm"), trust=True)
    with pytest.raises(CredentialRefused):
        await directory.credential(effective)

    directory.drop(project_path("acme"), trust=True)
    assert await directory.credential(effective) is not None


async def test_refusals_are_bounded_and_forgotten(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=60, entries=3)
    (effective,) = await directory.chain("acme")
    for version in range(10):
        directory.refuse(effective, version)
    assert [version for _, version in directory._refused] == [7, 8, 9]

    clock.seconds = REFUSED_FOR
    directory.expire()

    assert not directory._refused


async def test_a_server_without_keys_has_nothing_to_refuse(store: CountingStore) -> None:
    server = {"name": "primary", "provider": "openai_compatible", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    save_project(store, "beta")
    save_connection(store, project_path("beta"), server)
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("beta")

    assert not directory.refuse(effective, 1)
    assert await directory.credential(effective) is None
