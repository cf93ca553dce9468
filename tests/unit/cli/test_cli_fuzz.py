"""Random words in the options of the configuration commands: exit 1 or 2, one line, no traceback, no secret."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from config.settings import load_settings
from config.store import FileStore
from tests.unit.cli.conftest import COMMAND
from workers.cli.root import app

SECRET = "sk-canary-7d0c1a55e2"
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: What a shell can pass: anything but NUL; half a character stands for bytes that are not UTF-8.
TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
WORDS: st.SearchStrategy[str] = st.text(TEXT, max_size=20) | st.sampled_from(
    [
        "",
        " ",
        "-",
        "--",
        "=",
        "a=",
        "=a",
        "a=b",
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "nan",
        "inf",
        "9" * 400,
        "../x",
        "[bold]x[/]",
        "[/]",
        "{}",
        "[]",
        "%s",
        "$(x)",
        "\u202e",
        "\n",
        "é",
        "\udcff",
        "x" * 5_000,
        *("https://api.openai.com/v1", "http://169.254.169.254/", "http://[::1", "https://ada:pw@x.example", "//x"),
        *("tpm_capacity=1", "labels.=x", "labels.a=b", "labels.a", "credential=x", "role=spare", "model=\n", "name=x"),
    ]
)
#: A third of all words hold a key that was pasted into the wrong place.
WORDS = WORDS | st.sampled_from(
    [SECRET, f"a={SECRET}", f"model={SECRET}", f"labels.a={SECRET}", f"labels.{SECRET}=a", f"{SECRET}=a", f"{SECRET}\n"]
)
PROVIDERS = st.sampled_from(["openai", "azure_openai", "vertex", "bedrock", "openai_compatible"])
ADD_OPTIONS = st.sampled_from(
    [
        "--model",
        "--base-url",
        "--label",
        "--set",
        "--organization",
        "--api-version",
        "--gcp-project",
        "--location",
        "--region",
        "--external-id",
        "--structured-output",
        "--tpm",
        "--tpm-refill",
        "--output-tpm",
        "--rpm",
        "--order",
        *("--output-tpm-refill", "--rpm-refill", "--max-concurrency", "--spend-cap-day", "--spend-cap-month", "--name"),
        *("--on-spend-cap", "--credential", "--role", "--key-env", "--key-file", "--file", "--account"),
    ]
)


@pytest.fixture
def place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a store that has one project, to be changed by whatever passes."""
    monkeypatch.setenv("MY_KEY", SECRET)
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)
    run("connection", "add", "-p", "acme", "--provider", "openai", "--model", "gpt-6-luna", "--key-env", "MY_KEY")
    return home


def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line that makes no call."""
    load_settings.cache_clear()
    verifies = words[:2] in {("connection", "add"), ("connection", "set"), ("config", "apply")}
    arguments = [*words, *(["--no-verify"] if verifies else [])]
    result = CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def judge(code: int, out: str, err: str) -> None:
    """What holds of every end of every command with `--json`."""
    assert code in {0, 1, 2}, err
    assert SECRET not in out
    if code == 2:
        [line] = err.splitlines()
        assert json.loads(line)["error"]["message"]
    assert "Traceback" not in err


def quoted(error: str) -> bool:
    """Whether the parser of the command line repeats a word that it cannot place: it stood on the command line."""
    return any(f'"type": "{kind}"' in error for kind in ("BadParameter", "UsageError", "NoSuchOption"))


@given(PROVIDERS, st.lists(st.tuples(ADD_OPTIONS, WORDS), min_size=1, max_size=4))
@SETTINGS
def test_add(place: Path, provider: str, options: list[tuple[str, str]]) -> None:
    words = (word for option in options for word in option)
    code, out, err = run(
        *("connection", "add", "-p", "fuzz", "--json", "--provider", provider, "--model", "gpt-6-luna"),
        *words,
    )

    if not quoted(err):
        assert SECRET not in err
    judge(code, out, err)


@given(st.lists(st.tuples(st.sampled_from(["--set", "--unset"]), WORDS), min_size=1, max_size=3))
@SETTINGS
def test_set(place: Path, options: list[tuple[str, str]]) -> None:
    words = (word for option in options for word in option)
    code, out, err = run("connection", "set", "-p", "acme", "--name", "primary", "--json", *words)

    assert SECRET not in err
    judge(code, out, err)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "--account",
                    "--weight",
                    "--spend-cap-day",
                    "--spend-cap-month",
                    "--on-spend-cap",
                    "--max-waiting",
                    "--unset",
                ]
            ),
            WORDS,
        ),
        min_size=1,
        max_size=3,
    )
)
@SETTINGS
def test_project_set(place: Path, options: list[tuple[str, str]]) -> None:
    words = (word for option in options for word in option)
    code, out, err = run("project", "set", "-p", "acme", "--json", *words)

    if not quoted(err):
        assert SECRET not in err
    judge(code, out, err)


@given(st.text(TEXT, max_size=60), st.sampled_from(["diff", "apply"]), st.booleans())
@SETTINGS
def test_a_random_file(place: Path, text: str, command: str, prune: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    stdin = f"{text}\n{SECRET}: {text}"
    code, out, err = run("config", command, "-", "--json", *(["--prune"] if prune else []), stdin=stdin)

    assert SECRET not in err
    judge(code, out, err)


@given(WORDS, st.sampled_from([("show",), ("list",), ("remove", "--yes", "--name", "x"), ("set", "--name", "x")]))
@SETTINGS
def test_names(place: Path, name: str, command: tuple[str, ...]) -> None:
    before = [parameter.path for parameter in FileStore(place / ".byom" / "store.json").list("/byom")]
    code, out, err = run("connection", *command, "--json", "--project", name)

    judge(code, out, err)
    assert [parameter.path for parameter in FileStore(place / ".byom" / "store.json").list("/byom")] == before


@given(st.lists(st.tuples(ADD_OPTIONS, WORDS), min_size=1, max_size=3))
@settings(SETTINGS, max_examples=25)
def test_for_people_an_error_is_a_short_text(place: Path, options: list[tuple[str, str]]) -> None:
    words = (word for option in options for word in option)
    code, _, err = run("connection", "add", "-p", "fuzz", "--provider", "openai", *words)

    assert code in {0, 1, 2}
    assert "Traceback" not in err
    if "Usage:" not in err and code == 2:
        assert len(err.splitlines()) == 1
