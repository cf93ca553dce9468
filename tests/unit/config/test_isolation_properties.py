"""Whatever a configuration says: a project's calls use its own credentials or its own account's, and ids stay put."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.connections import (
    account_path,
    effective_chain,
    project_connections,
    project_path,
    save_connection,
    save_project,
)
from config.connections.paths import Level
from config.credentials import read_credential
from config.errors import ConfigError, CredentialMissing
from config.store import MemoryStore, join_path

CANARY = "sk-canary-7d0c1a55e2"

#: Ids that are tried: such that are fine, and such that reach for somebody else's.
NAMES = st.sampled_from(
    [
        *("acme", "corp", "acme-2", "a", "a.b", "primary", "..", ".", "", "/", "a/b", "../corp", "acme/credentials"),
        *(
            "/byom/accounts/corp",
            "a%2fb",
            "a\\b",
            "a\nb",
            "a\x00b",
            "acme/../corp",
            "~",
            "é",
            "con nection",
            "-a",
            "a" * 300,
        ),
    ]
) | st.text(max_size=12)
SCOPES = ("acme", "corp", "other")


@given(NAMES, NAMES)
@settings(max_examples=150, deadline=None)
def test_no_id_reaches_outside_of_its_own_branch(project: str, name: str) -> None:
    try:
        path = join_path(project_path(project), "connections", name)
    except ConfigError as error:
        assert CANARY not in str(error)  # noqa: PT017 - whether it is refused is the question
        return

    assert path == f"/byom/projects/{project}/connections/{name}"
    assert path.count("/") == 5
    assert ".." not in path.split("/")


@given(NAMES, NAMES)
@settings(max_examples=150, deadline=None)
def test_two_ids_never_share_a_branch(one: str, two: str) -> None:
    try:
        paths = [project_path(one), project_path(two), account_path(one), account_path(two)]
    except ConfigError:
        return

    below = [f"{path}/" for path in paths]
    assert {path.startswith(other) for path in below for other in below if path != other} <= {False}
    assert (paths[0] == paths[1]) == (one == two)
    assert not set(paths[:2]) & set(paths[2:])


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "provider": st.sampled_from(["openai", "gemini", "openai_compatible", "bedrock"]),
    "model": st.sampled_from(["gpt-6-luna", "m", "gemini-2.5-flash-lite"]),
    "credential": st.none() | NAMES | st.sampled_from(["k1", "k2"]),
    "base_url": st.none() | st.sampled_from(["https://a.example/v1", "http://127.0.0.1:1/v1"]),
    "role": st.sampled_from(["primary", "fallback", "fallback", "spare"]),
    "order": st.integers(-1, 3),
    "tpm_capacity": st.integers(0, 10**6),
    "labels": st.dictionaries(NAMES, NAMES, max_size=2),
}
DOCUMENTS = st.fixed_dictionaries({}, optional=FIELDS)
PLAUSIBLE = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(["openai", "gemini", "openai_compatible"]),
        "model": st.just("m"),
        "credential": st.sampled_from(["k1", "k2"]),
        "base_url": st.just("https://a.example/v1"),
        "role": st.sampled_from(["fallback", "fallback", "primary"]),
    }
)
LEVELS = st.dictionaries(st.sampled_from(["one", "two", "three"]), DOCUMENTS | PLAUSIBLE, max_size=3)
OVERRIDES = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    DOCUMENTS
    | PLAUSIBLE
    | st.fixed_dictionaries(
        {}, optional={"tpm_capacity": st.integers(1, 9_000), "credential": st.just("k1"), "base_url": st.none()}
    )
    | st.fixed_dictionaries({"base_url": st.just("https://collector.example/v1")})
    | st.fixed_dictionaries({"provider": st.just("openai_compatible")}),
    max_size=3,
)


def filled(account: dict[str, Any], project: dict[str, Any]) -> MemoryStore:
    """A store as anybody may have filled it, where each scope holds credentials of the same names."""
    store = MemoryStore()
    save_project(store, "acme", account="corp")
    save_project(store, "other", account=None)
    for scope, documents in ((account_path("corp"), account), (project_path("acme"), project)):
        for name, document in documents.items():
            store.put(join_path(scope, "connections", name), SecretStr(json.dumps(document)), secure=False)
    scopes = (*(project_path(name) for name in SCOPES), *(account_path(name) for name in SCOPES))
    for scope in scopes:
        for name in ("k1", "k2"):
            store.put(join_path(scope, "credentials", name), SecretStr(f"{CANARY} of {scope}"), secure=True)
    return store


@given(LEVELS, OVERRIDES)
@example(
    account={"one": {"provider": "openai", "model": "m", "credential": "k1"}}, project={"one": {"credential": "k2"}}
)
@settings(max_examples=200, deadline=None)
def test_a_project_resolves_no_credential_but_its_own_and_its_accounts(
    account: dict[str, Any], project: dict[str, Any]
) -> None:
    store = filled(account, project)
    try:
        chain = project_connections(store, "acme")
    except ConfigError as error:
        assert CANARY not in str(error)  # noqa: PT017 - whether it resolves is the question
        return

    for link in chain:
        own, shared = (f"{scope}/credentials/" for scope in (project_path("acme"), account_path("corp")))
        name = link.connection.credential
        if name is None:
            assert link.credential_path is None
            assert read_credential(store, link) is None
            continue
        # Where it is kept follows from who named it, and from nothing else.
        owner = own if "credential" in project.get(link.connection.name, {}) else shared
        assert link.origins["credential"] == ("project" if owner == own else "account")
        assert link.credential_path == f"{owner}{name}"
        try:
            credential = read_credential(store, link)
        except (CredentialMissing, ConfigError):
            continue
        assert credential is not None
        assert credential.secret.get_secret_value() == f"{CANARY} of {owner.removesuffix('/credentials/')}"


@given(LEVELS, OVERRIDES)
@settings(max_examples=120, deadline=None)
def test_an_accounts_credential_is_sent_only_where_the_account_sends_it(
    account: dict[str, Any], project: dict[str, Any]
) -> None:
    store = filled(account, project)
    try:
        chain = project_connections(store, "acme")
    except ConfigError:
        return

    for link in chain:
        if link.credential_path is not None and link.credential_path.startswith(account_path("corp")):
            said = account[link.connection.name]
            assert link.connection.provider == said["provider"]
            assert link.connection.base_url == said.get("base_url")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY) | NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | st.just(CANARY), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "name", "later", CANARY]), JSON, max_size=6))
@settings(max_examples=200, deadline=None)
def test_a_document_that_does_not_fit_is_refused_by_a_typed_error_without_its_values(document: dict[str, Any]) -> None:
    store = MemoryStore()
    try:
        save_connection(store, project_path("acme"), {**document, "api_key": CANARY})
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - what is random here never fits
        assert CANARY not in str(error)  # noqa: PT017 - as above
    assert list(store.list("/byom")) == []


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_the_store_is_read_or_refused_by_a_typed_error(text: str) -> None:
    store = MemoryStore()
    save_project(store, "acme")
    store.put("/byom/projects/acme/connections/primary", SecretStr(f"{text}{CANARY}"), secure=False)
    try:
        effective_chain(store, "acme")
    except ConfigError as error:
        assert CANARY not in str(error)  # noqa: PT017 - as above


def test_the_levels_of_one_name_are_two() -> None:
    assert Level.project("corp").path == "/byom/projects/corp"
    assert Level.account("corp").path == "/byom/accounts/corp"
