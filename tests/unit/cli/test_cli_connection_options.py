"""`byom connection add`: a whole connection from a file, options that beat it, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.connections import effective_chain
from config.store import FileStore
from tests.unit.cli.conftest import SECRET, Byom, document

pytestmark = pytest.mark.usefixtures("key")

OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna")
FILE: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-6-luna",
    "labels": {"team": "core"},
    "tpm_capacity": 50_000,
    "credential": "shared",
    "order": 0,
}


def test_a_whole_connection_comes_from_a_file_and_options_beat_it(byom: Byom, store: FileStore, home: Path) -> None:
    (home / "c.json").write_text(json.dumps(FILE), encoding="utf-8")
    words = ("--file", "c.json", "--tpm", "70000", "--no-verify", "--key-env", "MY_KEY")

    result = byom("connection", "add", "-p", "acme", *words)

    [link] = effective_chain(store, "acme")
    assert result.exit_code == 0, result.output
    assert (link.connection.labels, link.connection.tpm_capacity) == ({"team": "core"}, 70_000)
    assert link.credential_path == "/byom/projects/acme/credentials/shared"


def test_a_file_may_come_on_stdin(byom: Byom, store: FileStore) -> None:
    result = byom(
        *("connection", "add", "-p", "acme", "--file", "-", "--no-verify", "--key-env", "MY_KEY"),
        stdin=json.dumps(FILE),
    )

    assert result.exit_code == 0, result.output
    assert effective_chain(store, "acme")[0].connection.tpm_capacity == 50_000


BAD_FILES = {
    "a key in it": (FILE | {"api_key": SECRET}, "api_key looks like a secret"),
    "a key as its name": (FILE | {"credential": SECRET}, "credential looks like an API key"),
    "a key among the labels": (FILE | {"labels": {"a": SECRET}}, "labels.a looks like an API key"),
    "a key as a field": (FILE | {SECRET: 1}, "? looks like an API key"),
    "a password": (FILE | {"password": "hunter2-canary"}, "password looks like a secret"),
    "an unknown field": (FILE | {"colour": "green"}, "colour: Extra inputs are not permitted"),
    "no object": ([FILE], "is not a JSON object"),
    "no provider": (
        {"model": "m"},
        "'provider' in --file. Recommended: --provider gemini --model",
    ),
    "another provider": (FILE | {"provider": "openia"}, "the provider is none of openai, azure_openai"),
    "a number as the model": (FILE | {"model": 7}, "Recommended: --provider openai --model gpt-6-luna"),
    "no model of a server": ({"provider": "openai_compatible"}, "say which model: --model, or 'model' in --file\n"),
    "a name that is a list": (FILE | {"name": ["x"]}, "name: "),
}


@pytest.mark.parametrize(("content", "mend"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_does_not_fit_is_refused(byom: Byom, home: Path, content: Any, mend: str) -> None:
    (home / "c.json").write_text(json.dumps(content), encoding="utf-8")

    result = byom("connection", "add", "-p", "acme", "--file", "c.json", "--no-verify", "--key-env", "MY_KEY")

    assert result.exit_code == 2
    assert mend in result.stderr
    assert "canary" not in result.output
    assert not (home / ".byom").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe", ()), (b"{", ()), (b"[" * 100_000, ()), (b"{}", ("--key-stdin",)), (None, ())],
    ids=["no text", "half a document", "a deep document", "stdin twice", "no file"],
)
def test_a_file_that_cannot_be_read_is_refused(
    byom: Byom, home: Path, content: bytes | None, words: tuple[str, ...]
) -> None:
    if content is not None:
        (home / "c.json").write_bytes(content)
    source = "-" if words else "c.json"

    result = byom("connection", "add", "-p", "acme", "--file", source, *words, stdin=content)

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_every_limit_has_an_option(byom: Byom, store: FileStore) -> None:
    words = {
        "--tpm": ("1000000", "tpm_capacity"),
        "--tpm-refill": ("20000.5", "tpm_refill_per_second"),
        "--output-tpm": ("50000", "output_tpm_capacity"),
        "--output-tpm-refill": ("800", "output_tpm_refill_per_second"),
        "--rpm": ("600", "rpm_capacity"),
        "--rpm-refill": ("10", "rpm_refill_per_second"),
        "--max-concurrency": ("8", "max_concurrency"),
        "--spend-cap-day": ("12.50", "spend_cap_day_usd"),
        "--spend-cap-month": ("100", "spend_cap_month_usd"),
        "--on-spend-cap": ("fail", "on_spend_cap"),
    }
    given = (word for option, (value, _) in words.items() for word in (option, value))
    result = byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", *given)

    saved = document(store, "/byom/projects/acme")
    assert result.exit_code == 0, result.output
    assert {field: str(saved[field]) for _, field in words.values()} == {
        field: str(float(value)) if "refill" in field else value for value, field in words.values()
    }


@pytest.mark.parametrize("amount", ["0", "-1", "much", "inf", "nan", "1e99", "0.0000001"])
def test_a_cap_that_is_no_amount_is_refused(byom: Byom, home: Path, amount: str) -> None:
    words = (*OPENAI, "--key-env", "MY_KEY", "--spend-cap-day", amount)

    assert byom("connection", "add", "-p", "acme", *words).exit_code == 2
    assert not (home / ".byom").exists()


def test_a_fallback_to_the_same_is_refused(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")

    result = byom("connection", "add", "-p", "acme", *OPENAI, "--role", "fallback", "--credential", "primary")

    assert result.exit_code == 2
    assert "project 'acme' would fall back to itself: " in result.stderr


def test_what_costs_more_is_taken_with_a_warning(byom: Byom) -> None:
    words = ("--provider", "gemini", "--model", "gemini-3.5-flash-lite", "--key-env", "MY_KEY", "--no-verify")
    for_people = byom("connection", "add", "-p", "acme", *words)
    for_programs = byom("connection", "add", "-p", "acme", *words, "--json")
    without = byom("connection", "add", "-p", "other", *OPENAI, "--key-env", "MY_KEY", "--json")

    [warning] = json.loads(for_programs.stdout)["warnings"]
    assert for_people.exit_code == 0
    assert "gemini-3.5-flash-lite cannot switch reasoning off" in warning
    assert f"Warning: {warning}" in for_people.stderr
    assert json.loads(without.stdout)["warnings"] == []


def test_a_key_on_the_command_line_is_refused_wherever_it_stands(byom: Byom, home: Path) -> None:
    words = ("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    results = [
        byom(*words, "--label", f"team={SECRET}"),
        byom(*words, "--organization", SECRET),
        byom(*words, "--set", SECRET),
        byom("connection", "add", "-p", "acme", "--no-verify", "--provider", "openai", "--model", SECRET),
    ]

    assert [result.exit_code for result in results] == [2, 2, 2, 2]
    assert [SECRET in result.output for result in results] == [False, False, False, False]
    assert not (home / ".byom").exists()


@pytest.mark.parametrize("option", ["--key-env", "--key-file", "--file"])
def test_a_key_in_place_of_where_it_is_does_not_show_again(byom: Byom, option: str) -> None:
    result = byom("connection", "add", "-p", "acme", *OPENAI, option, SECRET)

    assert result.exit_code == 2
    assert "looks like an API key" in result.stderr
    assert SECRET not in result.output
