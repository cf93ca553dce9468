"""A change counts at once where jobs are held up: at meters, in lanes, and in no other tenant's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import redis
import redis.asyncio
from pydantic import SecretStr

from config.connections import (
    EffectiveConnection,
    ProjectProfile,
    account_path,
    effective_chain,
    project_path,
    save_connection,
    write_project,
)
from config.errors import StoreError
from config.store import MemoryStore
from tasks.contract import FailureCode
from workers.admission import MeterState, Reason, RedisAdmission
from workers.admission.control import Meters
from workers.alerts import MemoryAlerts
from workers.configuration.effect import put_into_force
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Lanes
from workers.lanes.entering import Entry
from workers.lanes.header import LaneHeader
from workers.lanes.keys import LaneName
from workers.lanes.views import list_lanes

_T = TypeVar("_T")
CORP = account_path("corp")
SHARED = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "shared"}
OWN = {"name": "own", "provider": "openai", "model": "gpt-6-luna", "credential": "main", "role": "fallback"}


@pytest.fixture
def store() -> MemoryStore:
    """Account `corp` with two projects: `acme`, which has a fallback of its own, and `initech`."""
    store = MemoryStore()
    save_connection(store, CORP, SHARED | {"tpm_capacity": 6_000, "tpm_refill_per_second": 100})
    for project in ("acme", "initech"):
        write_project(store, project, ProjectProfile(account="corp"))
    save_connection(store, project_path("acme"), OWN)
    return store


def link(store: MemoryStore, project: str, name: str) -> EffectiveConnection:
    [found] = [link for link in effective_chain(store, project) if link.connection.name == name]
    return found


def ask(valkey: EmbeddedValkey, work: Callable[[RedisAdmission], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with redis.asyncio.Redis.from_url(valkey.url) as client:
            return await work(RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=60))

    return asyncio.run(run())


def read(valkey: EmbeddedValkey, effective: EffectiveConnection) -> MeterState:
    with redis.Redis.from_url(valkey.url) as client:
        [state] = Meters(client).read([effective])
    return state


def hold_back(valkey: EmbeddedValkey, *links: EffectiveConnection) -> None:
    async def hold(admission: RedisAdmission) -> None:
        for effective in links:
            await admission.hold_back(
                effective, reason=Reason.CREDENTIAL, seconds=300, code=FailureCode.CREDENTIAL_REJECTED
            )

    ask(valkey, hold)


def put(client: redis.Redis, effective: EffectiveConnection, tag: str) -> LaneName:
    """A job in its lane, which waits for five minutes."""
    header = LaneHeader(
        meter=effective.key,
        tenant=effective.tenant,
        project=effective.project,
        connection=effective.connection.name,
        priority="live",
        input=100,
        calls=1,
        patience=3_600,
    )
    Lanes(client).put(Entry(header=header, queue="extract.openai", tag=tag, message="{}", job_id=tag))
    lane = header.lane("extract.openai")
    seconds: Any = client.time()
    client.zadd(lane.due, {f"lane\t{lane}": seconds[0] + 300})
    client.hset(lane.state, "why", "credential")
    return lane


def waits(client: redis.Redis) -> dict[str, str | None]:
    """Project and connection of each lane → what it waits for."""
    return {f"{view.project} {view.connection}": view.why for view in list_lanes(client)}


def test_limits_of_a_project_hold_at_its_meters_before_anybody_calls(
    valkey: EmbeddedValkey, valkey_client: redis.Redis, store: MemoryStore
) -> None:
    save_connection(store, project_path("acme"), OWN | {"tpm_capacity": 120, "rpm_capacity": 6})

    put_into_force(valkey_client, store, project_path("acme"), trust=False)

    meter = valkey_client.hgetall(f"byom:{{a/corp}}:meter:{link(store, 'acme', 'own').key}")
    assert (meter[b"tpm_capacity"], meter[b"rpm_capacity"]) == (b"120", b"6")


def test_limits_of_an_account_hold_at_the_meter_that_its_projects_share(
    valkey: EmbeddedValkey, valkey_client: redis.Redis, store: MemoryStore
) -> None:
    stale = link(store, "initech", "primary")
    put_into_force(valkey_client, store, CORP, trust=False)
    save_connection(store, CORP, SHARED | {"tpm_capacity": 60, "tpm_refill_per_second": 1})

    put_into_force(valkey_client, store, CORP, trust=False)

    state = read(valkey, stale)
    assert state.tokens is not None
    assert (state.tokens.capacity, state.tokens.per_minute) == (60, 60)


def test_an_account_changes_without_its_projects_being_read(
    valkey_client: redis.Redis, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    listing = store.list

    def spied(prefix: str, *, secure: bool | None = None) -> Any:
        asked.append(prefix)
        return listing(prefix, secure=secure)

    monkeypatch.setattr(store, "list", spied)

    put_into_force(valkey_client, store, CORP, trust=True)

    assert asked == [f"{CORP}/connections"]


def test_trust_lifts_what_was_held_back_for_a_levels_own_credentials_only(
    valkey: EmbeddedValkey, valkey_client: redis.Redis, store: MemoryStore
) -> None:
    own, shared = link(store, "acme", "own"), link(store, "acme", "primary")
    hold_back(valkey, own, shared)

    put_into_force(valkey_client, store, project_path("acme"), trust=False)
    assert [read(valkey, one).blocked_by for one in (own, shared)] == [Reason.CREDENTIAL] * 2
    put_into_force(valkey_client, store, project_path("acme"), trust=True)
    assert [read(valkey, one).blocked_by for one in (own, shared)] == [None, Reason.CREDENTIAL]
    put_into_force(valkey_client, store, CORP, trust=True)
    assert read(valkey, shared).blocked_by is None


def test_the_lanes_of_a_project_look_again_at_once_and_no_others(
    valkey_client: redis.Redis, store: MemoryStore
) -> None:
    put(valkey_client, link(store, "acme", "own"), "one")
    put(valkey_client, link(store, "initech", "primary"), "two")

    put_into_force(valkey_client, store, project_path("acme"), trust=False)

    assert waits(valkey_client) == {"acme own": None, "initech primary": "credential"}


def test_the_lanes_of_an_accounts_meters_look_again_in_all_its_projects(
    valkey_client: redis.Redis, store: MemoryStore
) -> None:
    put(valkey_client, link(store, "acme", "own"), "one")
    put(valkey_client, link(store, "acme", "primary"), "two")
    put(valkey_client, link(store, "initech", "primary"), "three")

    put_into_force(valkey_client, store, CORP, trust=False)

    assert waits(valkey_client) == {"acme own": "credential", "acme primary": None, "initech primary": None}


def test_a_weight_counts_for_what_waits_already_and_ends_with_its_project(
    valkey_client: redis.Redis, store: MemoryStore
) -> None:
    put(valkey_client, link(store, "acme", "own"), "one")

    write_project(store, "acme", ProjectProfile(account="corp", weight=3))
    put_into_force(valkey_client, store, project_path("acme"), trust=False)
    assert [view.weight for view in list_lanes(valkey_client)] == [3.0]
    store.delete(f"{project_path('acme')}/profile")
    put_into_force(valkey_client, store, project_path("acme"), trust=False)
    assert [view.weight for view in list_lanes(valkey_client)] == [1.0]


def test_what_cannot_be_read_leaves_weight_and_meters_as_they_are_and_still_ends_waits(
    valkey_client: redis.Redis, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(valkey_client, link(store, "acme", "own"), "one")
    Lanes(valkey_client).weight("acme", 3)

    def away(*_: Any, **__: Any) -> None:
        raise StoreError("the store is away")

    monkeypatch.setattr(store, "get", away)
    put_into_force(valkey_client, store, project_path("acme"), trust=True)

    assert [(view.weight, view.why) for view in list_lanes(valkey_client)] == [(3.0, None)]


@pytest.mark.parametrize("scope", ["/byom", "/byom/projects", "/byom/projects/acme/connections", "/else/where"])
def test_of_what_is_no_level_nothing_is_known(valkey_client: redis.Redis, store: MemoryStore, scope: str) -> None:
    put(valkey_client, link(store, "acme", "own"), "one")

    put_into_force(valkey_client, store, scope, trust=True)

    assert waits(valkey_client) == {"acme own": "credential"}


def test_no_secret_is_read_for_it(valkey_client: redis.Redis, store: MemoryStore) -> None:
    asked: list[str] = []

    class Watched(MemoryStore):
        def get(self, path: str) -> Any:
            asked.append(path)
            return store.get(path)

        def list(self, prefix: str, *, secure: bool | None = None) -> Any:
            assert secure is False, prefix
            return store.list(prefix, secure=secure)

    store.put(f"{project_path('acme')}/secrets/main/1", SecretStr("sk-canary"), secure=True)
    put_into_force(valkey_client, Watched(), project_path("acme"), trust=True)

    assert set(asked) == {f"{project_path('acme')}/profile"}


def test_redis_that_is_away_is_for_the_caller_to_see(store: MemoryStore) -> None:
    with (
        redis.Redis.from_url("redis://127.0.0.1:1/0") as client,
        pytest.raises(redis.ConnectionError),
    ):
        put_into_force(client, store, CORP, trust=False)
