"""Every change goes with its record and its notice, and nothing is changed without a record."""

import json
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from pydantic import SecretStr

from config.connections import AccountProfile, ProjectProfile, account_path, project_path, read_project
from config.credentials import history_of
from config.errors import AuditError, CredentialMissing, InvalidConnection, InvalidCredential, SettingsError, StoreError
from config.settings import Settings
from config.store import MemoryStore, ParameterStore
from tests.support import ManualClock
from workers.configuration.admin import Admin
from workers.configuration.audit import AuditLog
from workers.configuration.changes import CHANGES_KEY, Announcer

SCOPE = project_path("acme")
CORP = account_path("corp")
SECRET = "sk-canary-admin-1f0e"
CONNECTION = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}


@pytest.fixture
def client() -> redis.Redis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)


@pytest.fixture
def admin(tmp_path: Path, client: redis.Redis) -> Admin:
    audit = AuditLog(tmp_path / "audit.jsonl", by="ada@desk")
    return Admin(MemoryStore(), audit=audit, announcer=Announcer(client), clock=ManualClock())


def records(admin: Admin) -> list[tuple[str, str, str, dict[str, Any], str]]:
    _, *made = admin.audit.records()
    return [(one.action, one.scope, one.subject, one.changes, one.outcome) for one in made]


def notices(client: redis.Redis) -> list[dict[str, str]]:
    found: Any = client.xrange(CHANGES_KEY)
    return [fields for _, fields in found]


def test_a_rotation_is_recorded_and_announced_step_by_step(admin: Admin, client: redis.Redis) -> None:
    admin.save_credential(SCOPE, "main", SecretStr(SECRET), verified=False)
    version = admin.add_credential(SCOPE, "main", SecretStr(f"{SECRET}-2"), reason="rotation").version
    admin.note_verification(SCOPE, "main", version, problem=None)
    admin.activate_credential(SCOPE, "main", version)
    admin.disable_credential(SCOPE, "main", 1)
    admin.delete_version(SCOPE, "main", 1)

    history = history_of(admin.store, SCOPE, "main")
    assert history is not None
    print_one, print_two = (history.versions[number].fingerprint for number in (1, 2))
    subject = (SCOPE, "credentials/main")
    assert records(admin) == [
        (
            "credential.add",
            *subject,
            {"fingerprint": print_one, "version": 1, "state": {"from": None, "to": "pending"}},
            "done",
        ),
        (
            "credential.activate",
            *subject,
            {"version": 1, "forced": True, "fingerprint": print_one, "state": {"from": "pending", "to": "active"}},
            "done",
        ),
        (
            "credential.add",
            *subject,
            {
                "reason": "rotation",
                "fingerprint": print_two,
                "version": 2,
                "state": {"from": None, "to": "pending"},
            },
            "done",
        ),
        ("credential.verify", *subject, {"version": 2, "works": True}, "done"),
        (
            "credential.activate",
            *subject,
            {"version": 2, "fingerprint": print_two, "state": {"from": "pending", "to": "active"}, "replaced": 1},
            "done",
        ),
        ("credential.disable", *subject, {"version": 1, "fingerprint": print_one}, "done"),
        (
            "credential.delete",
            *subject,
            {"version": 1, "fingerprint": print_one, "state": {"from": "disabled", "to": "deleted"}},
            "done",
        ),
    ]
    plain, trust = {"scope": SCOPE}, {"scope": SCOPE, "trust": "1"}
    # That a pending version works says nothing of the active one, which its provider may have refused.
    assert notices(client) == [plain, trust, plain, plain, trust, plain, plain]
    assert admin.announced
    assert {facts.created_by for facts in history.versions.values()} == {"ada@desk"}


@pytest.mark.parametrize(("problem", "notice"), [(None, {"scope": SCOPE, "trust": "1"}), ("bad_key", {"scope": SCOPE})])
def test_an_active_version_that_works_is_trusted_again(
    admin: Admin, client: redis.Redis, problem: str | None, notice: dict[str, str]
) -> None:
    version = admin.save_credential(SCOPE, "main", SecretStr(SECRET), verified=False)
    admin.note_verification(SCOPE, "main", version, problem=problem)

    assert notices(client)[-1] == notice


def test_connections_and_profiles_are_recorded_by_what_changed(admin: Admin, client: redis.Redis) -> None:
    admin.save_project("acme", ProjectProfile(account="corp"))
    admin.save_connection(SCOPE, CONNECTION)
    admin.save_connection(SCOPE, CONNECTION | {"model": "gpt-4.1", "max_concurrency": 3})
    admin.save_project("acme", ProjectProfile(account="corp", weight=2))
    admin.save_account("corp", AccountProfile(kms_key="arn:aws:kms:eu-west-1:1:key/x"))

    assert [(action, changes) for action, _, _, changes, _ in records(admin)] == [
        ("project.save", {"account": {"from": None, "to": "corp"}}),
        (
            "connection.save",
            {
                "credential": {"from": None, "to": "main"},
                "model": {"from": None, "to": "gpt-6-luna"},
                "provider": {"from": None, "to": "openai"},
            },
        ),
        (
            "connection.save",
            {"max_concurrency": {"from": None, "to": 3}, "model": {"from": "gpt-6-luna", "to": "gpt-4.1"}},
        ),
        ("project.save", {"weight": {"from": None, "to": 2.0}}),
        ("account.save", {"kms_key": {"from": None, "to": "arn:aws:kms:eu-west-1:1:key/x"}}),
    ]
    assert [one["scope"] for one in notices(client)] == [SCOPE] * 4 + [CORP]


def test_what_fails_is_recorded_as_failed_and_not_announced(admin: Admin, client: redis.Redis) -> None:
    with pytest.raises(CredentialMissing):
        admin.activate_credential(SCOPE, "main", 3)
    with pytest.raises(InvalidConnection):
        admin.save_connection(SCOPE, {"name": "primary", "provider": "openai", "model": "m"})
    version = admin.add_credential(SCOPE, "main", SecretStr(SECRET)).version
    with pytest.raises(InvalidCredential):
        admin.activate_credential(SCOPE, "main", version)

    assert [(action, outcome) for action, _, _, _, outcome in records(admin)] == [
        ("credential.activate", "failed"),
        ("connection.save", "failed"),
        ("credential.add", "done"),
        ("credential.activate", "failed"),
    ]
    errors = [record.error or "" for record in admin.audit.records()]
    assert "CredentialMissing: project 'acme' has no credential 'main'" in errors[1]
    assert "not verified" in errors[4]
    assert len(notices(client)) == 1


def test_what_an_unforeseen_error_says_is_not_recorded(admin: Admin) -> None:
    def fail() -> None:
        with admin.record("config.apply", SCOPE, "file", {"model": "m"}):
            raise RuntimeError(SECRET)

    with pytest.raises(RuntimeError):
        fail()

    assert records(admin) == [("config.apply", SCOPE, "file", {"model": "m"}, "failed")]
    assert SECRET not in admin.audit.path.read_text(encoding="utf-8")


def test_without_a_log_nothing_is_changed(admin: Admin, client: redis.Redis) -> None:
    admin.audit.path.mkdir()

    with pytest.raises(AuditError, match="nothing is changed without a record"):
        admin.save_credential(SCOPE, "main", SecretStr(SECRET), verified=True)

    assert list(admin.store.list("/byom")) == []
    assert notices(client) == []


def test_a_change_that_could_not_be_recorded_afterwards_is_announced_and_said(
    admin: Admin, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> None:
        raise AuditError("the disk is full")

    monkeypatch.setattr(admin.audit, "append", full)

    with pytest.raises(AuditError, match=r"project\.save of profile below .*acme was done, but not recorded: the disk"):
        admin.save_project("acme", ProjectProfile())

    assert read_project(admin.store, "acme") is not None
    assert notices(client) == [{"scope": SCOPE}]


def test_a_change_that_redis_did_not_take_is_made_and_remembered_as_not_announced(
    admin: Admin, client: redis.Redis
) -> None:
    client.connection_pool.connection_kwargs["server"].connected = False
    admin.save_project("acme", ProjectProfile())
    client.connection_pool.connection_kwargs["server"].connected = True
    admin.save_project("acme", ProjectProfile(weight=3))

    assert not admin.announced
    assert len(records(admin)) == 2


def test_no_secret_is_anywhere_but_in_its_place(
    admin: Admin, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.save_project("acme", ProjectProfile())
    admin.save_connection(SCOPE, CONNECTION)
    admin.save_credential(SCOPE, "main", SecretStr(SECRET), verified=True)

    def down(*_: Any, **__: Any) -> None:
        raise StoreError("cannot write")

    monkeypatch.setattr(admin.store, "put", down)
    with pytest.raises(StoreError) as caught:
        admin.add_credential(SCOPE, "main", SecretStr(SECRET))

    assert SECRET not in admin.audit.path.read_text(encoding="utf-8")
    assert SECRET not in json.dumps(notices(client))
    assert SECRET not in repr(caught.value)


def test_a_url_that_is_none_is_said_without_its_password() -> None:
    with (
        pytest.raises(SettingsError, match="is not a Redis URL") as caught,
        Admin.opened(Settings(broker_url=SecretStr("http://:hunter2@host"))),
    ):
        pass
    assert "hunter2" not in str(caught.value)


def test_a_change_takes_effect_after_it_was_announced(admin: Admin, client: redis.Redis, tmp_path: Path) -> None:
    effects: list[tuple[str, bool, int]] = []

    def effect(store: ParameterStore, scope: str, *, trust: bool) -> None:
        assert store is admin.store
        effects.append((scope, trust, len(notices(client))))

    audit = AuditLog(tmp_path / "audit.jsonl", by="ada@desk")
    acting = Admin(admin.store, audit=audit, announcer=Announcer(client), clock=ManualClock(), effect=effect)
    acting.save_project("acme", ProjectProfile())
    acting.save_credential(SCOPE, "main", SecretStr(SECRET), verified=False)

    assert effects == [(SCOPE, False, 1), (SCOPE, False, 2), (SCOPE, True, 3)]
    assert acting.announced


def test_where_redis_goes_away_before_a_change_takes_effect_workers_were_not_told(
    admin: Admin, client: redis.Redis, tmp_path: Path
) -> None:
    def away(store: ParameterStore, scope: str, *, trust: bool) -> None:
        raise redis.ConnectionError(f"{store} {scope} {trust}")

    audit = AuditLog(tmp_path / "audit.jsonl", by="ada@desk")
    acting = Admin(admin.store, audit=audit, announcer=Announcer(client), clock=ManualClock(), effect=away)
    acting.save_project("acme", ProjectProfile())

    assert not acting.announced
    assert read_project(admin.store, "acme") is not None
