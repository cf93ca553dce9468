"""`byom project`: what holds for a project as a whole."""

import json

import pytest

from config.connections import read_project
from config.store import FileStore
from tests.unit.cli.conftest import Byom

pytestmark = pytest.mark.usefixtures("key")

OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna", "--key-env", "MY_KEY")
OWN_SERVER = ("--no-verify", "--provider", "openai_compatible", "--model", "m", "--base-url", "http://127.0.0.1:1/v1")


def test_a_project_is_created_and_changed_field_by_field(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "--account", "corp", *OPENAI)
    created = byom("project", "set", "-p", "acme", "--account", "corp", "--weight", "3", "--spend-cap-day", "5.50")
    changed = byom("project", "set", "-p", "acme", "--max-waiting", "10000", "--on-spend-cap", "fail", "--json")

    profile = read_project(store, "acme")
    assert profile is not None
    assert "Created project 'acme'" in created.stdout
    assert profile.model_dump(mode="json") == {
        "account": "corp",
        "weight": 3.0,
        "spend_cap_day_usd": "5.50",
        "spend_cap_month_usd": None,
        "on_spend_cap": "fail",
        "max_waiting": 10_000,
    }
    assert json.loads(changed.stdout) == {
        "project": "acme",
        **profile.model_dump(mode="json"),
        "changed": True,
        "warnings": [],
    }


def test_the_same_again_writes_nothing(byom: Byom, store: FileStore) -> None:
    words = ("project", "set", "-p", "acme", "--weight", "3", "--json")
    byom(*words)
    before = list(store.list("/byom"))

    assert json.loads(byom(*words).stdout)["changed"] is False
    assert list(store.list("/byom")) == before


def test_a_field_goes_back_to_its_default(byom: Byom, store: FileStore) -> None:
    byom("project", "set", "-p", "acme", "--weight", "3", "--spend-cap-day", "5")
    byom("project", "set", "-p", "acme", "--unset", "weight", "--unset", "spend_cap_day_usd")

    parameter = store.get("/byom/projects/acme/profile")
    assert parameter is not None
    assert parameter.value.get_secret_value() == "{}"


def test_show_says_what_is_set_and_what_is_the_default(byom: Byom) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI)
    byom("project", "set", "-p", "acme", "--weight", "3")
    rows = [line.split() for line in byom("project", "show", "-p", "acme").stdout.splitlines()]
    document = json.loads(byom("project", "show", "-p", "acme", "--json").stdout)

    assert ["weight", "3", "project"] in rows
    assert ["max_waiting", "-", "default"] in rows
    assert (document["connections"], document["origins"]["weight"]) == (["primary"], "project")
    assert document["problem"] is None


def test_all_projects_are_listed(byom: Byom) -> None:
    empty = byom("project", "list")
    byom("project", "set", "-p", "b", "--weight", "2")
    byom("project", "set", "-p", "a")
    lines = byom("project", "list").stdout.splitlines()

    assert (empty.stdout, "byom connection add" in empty.stderr) == ("", True)
    assert [line.split()[0] for line in lines] == ["PROJECT", "a", "b"]
    assert [entry["weight"] for entry in json.loads(byom("project", "list", "--json").stdout)] == [1.0, 2.0]


def test_a_project_is_removed_with_all_that_it_has(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI)
    byom("connection", "add", "-p", "acme-two", *OPENAI)
    unasked = byom("project", "remove", "-p", "acme", "--json")
    declined = byom("project", "remove", "-p", "acme", stdin="n\n")
    removed = byom("project", "remove", "-p", "acme", "--yes", "--json")
    again = byom("project", "remove", "-p", "acme", "--yes")

    assert (unasked.exit_code, declined.exit_code, again.exit_code) == (2, 1, 2)
    assert json.loads(removed.stdout) == {"project": "acme", "removed": True, "parameters": 4, "forgotten": None}
    assert "byom lanes resume --project acme" in removed.stderr
    assert {parameter.path.split("/")[3] for parameter in store.list("/byom")} == {"acme-two"}


REFUSED = {
    "a weight of nothing": (("--weight", "0"), "weight: "),
    "a weight that is no number": (("--weight", "nan"), "weight: "),
    "no jobs at all": (("--max-waiting", "0"), "max-waiting"),
    "a cap that is none": (("--spend-cap-day", "0"), "above 0"),
    "another word for what happens": (("--on-spend-cap", "explode"), "on-spend-cap"),
    "an account that leaves its place": (("--account", "../corp"), "letters, digits"),
    "an unknown field": (("--unset", "colour"), "--unset number 1 is none of account, weight"),
    "set and unset": (("--weight", "3", "--unset", "weight"), "both set and unset"),
}


@pytest.mark.parametrize(("words", "mend"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    byom: Byom, store: FileStore, words: tuple[str, ...], mend: str
) -> None:
    byom("project", "set", "-p", "acme", "--max-waiting", "7")
    before = list(store.list("/byom"))

    result = byom("project", "set", "-p", "acme", *words)

    assert result.exit_code == 2
    assert mend in result.stderr
    assert list(store.list("/byom")) == before


def test_a_cap_that_cannot_be_kept_is_refused_with_the_mend(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI)
    byom("connection", "add", "-p", "acme", *OWN_SERVER, "--role", "fallback")
    refused = byom("project", "set", "-p", "acme", "--spend-cap-day", "5")
    instead = byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "spend_cap_day_usd=5")

    assert refused.exit_code == 2
    assert "which cannot be enforced on 'fallback'" in refused.stderr
    assert "byom connection set --set spend_cap_day_usd=…" in refused.stderr
    assert instead.exit_code == 0


def test_a_connection_without_a_price_does_not_get_under_a_cap(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "--account", "corp", *OPENAI)
    byom("project", "set", "-p", "acme", "--account", "corp", "--spend-cap-day", "5")
    own = byom("connection", "add", "-p", "acme", *OWN_SERVER, "--role", "fallback")
    inherited = byom("connection", "add", "--account", "corp", *OWN_SERVER, "--role", "fallback")

    assert (own.exit_code, inherited.exit_code) == (2, 2)
    assert "project 'acme' has a spend cap, which cannot be enforced on 'fallback'" in inherited.stderr


def test_moving_to_an_account_that_does_not_fit_is_refused(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "--account", "one", *OPENAI)
    byom("project", "set", "-p", "acme", "--account", "one")
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")

    result = byom("project", "set", "-p", "acme", "--account", "two")

    profile = read_project(store, "acme")
    assert result.exit_code == 2
    assert "nothing was changed" in result.stderr
    assert profile is not None
    assert profile.account == "one"


def test_oddities_are_said(byom: Byom) -> None:
    words = ("project", "set", "-p", "acme", "--account", "crop", "--spend-cap-day", "9", "--spend-cap-month", "5")
    warnings = json.loads(byom(*words, "--json").stdout)["warnings"]

    assert [text for text in warnings if "the day's cap is never reached" in text]
    assert [text for text in warnings if "account 'crop' sets nothing yet; is its name right?" in text]
    assert [text for text in warnings if "no primary connection" in text]


def test_a_project_that_nobody_knows_cannot_be_shown(byom: Byom) -> None:
    result = byom("project", "show", "-p", "nobody")

    assert result.exit_code == 2
    assert "byom project set --project nobody" in result.stderr
