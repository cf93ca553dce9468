"""Every error goes through one door: one clear line, a documented exit code, never a traceback."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
import typer
from kombu.exceptions import OperationalError
from typer.testing import CliRunner, Result

from config.errors import (
    AuditError,
    ConfigError,
    CredentialDisabled,
    CredentialMissing,
    InvalidConnection,
    InvalidCredential,
    NoConnection,
    SettingsError,
    StoreError,
    UnknownModel,
    UnknownProject,
)
from tasks.contract import ExtractionFailed, JobRefused
from workers.cli.console import JsonFlag
from workers.cli.errors import CommandError, ErrorBoundary, ExitCode

ERRORS: list[tuple[Exception, ExitCode]] = [
    (SettingsError("m"), ExitCode.USAGE),
    (UnknownProject("m"), ExitCode.USAGE),
    (NoConnection("m"), ExitCode.USAGE),
    (InvalidConnection("m"), ExitCode.USAGE),
    (UnknownModel("m"), ExitCode.USAGE),
    (CredentialMissing("m"), ExitCode.USAGE),
    (CredentialDisabled("m"), ExitCode.USAGE),
    (InvalidCredential("m"), ExitCode.USAGE),
    (AuditError("m"), ExitCode.UNREACHABLE),
    (ConfigError("m"), ExitCode.USAGE),
    (StoreError("m"), ExitCode.UNREACHABLE),
    (redis.ConnectionError("m"), ExitCode.UNREACHABLE),
    (redis.TimeoutError("m"), ExitCode.UNREACHABLE),
    (OperationalError("m"), ExitCode.UNREACHABLE),
    (JobRefused("m", {"code": "invalid_job"}), ExitCode.USAGE),
    (ExtractionFailed("m", {"code": "rate_limited"}), ExitCode.FAILED),
    (CommandError("m", code=ExitCode.FAILED), ExitCode.FAILED),
    (typer.BadParameter("m"), ExitCode.USAGE),
]


def run(failing: Callable[[], None], arguments: Sequence[str]) -> Result:
    app = typer.Typer(cls=ErrorBoundary)

    @app.command()
    def fail(as_json: JsonFlag = False) -> None:  # noqa: FBT002 - as commands declare flags
        failing()

    @app.command()
    def other() -> None:
        pass

    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_ends_the_command_with_its_documented_code(error: Exception, code: ExitCode) -> None:
    result = run(raiser(error), ["fail"])

    assert result.exit_code == code
    assert result.stdout == ""
    assert "m" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_with_json_an_error_is_one_json_object_on_stderr(error: Exception, code: ExitCode) -> None:
    result = run(raiser(error), ["fail", "--json"])

    document: dict[str, Any] = json.loads(result.stderr)["error"]
    assert result.exit_code == code
    assert result.stdout == ""
    assert document["type"] == type(error).__name__
    assert document["exit_code"] == code
    assert document["message"]


def test_the_details_of_an_error_are_in_its_json() -> None:
    result = run(
        raiser(JobRefused("no", {"code": "invalid_job", "problems": ["episodes: missing"]})), ["fail", "--json"]
    )

    assert json.loads(result.stderr)["error"]["problems"] == ["episodes: missing"]


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_ctrl_c_ends_with_130(flags: list[str]) -> None:
    assert run(raiser(KeyboardInterrupt()), ["fail", *flags]).exit_code == ExitCode.INTERRUPTED


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_a_command_that_exits_keeps_its_code(flags: list[str]) -> None:
    assert run(raiser(typer.Exit(1)), ["fail", *flags]).exit_code == 1


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_a_command_that_ends_well_ends_with_0(flags: list[str]) -> None:
    assert run(lambda: None, ["fail", *flags]).exit_code == ExitCode.OK


def test_a_wrong_command_line_is_json_too() -> None:
    result = run(lambda: None, ["nonsense", "--json"])

    assert result.exit_code == ExitCode.USAGE
    assert "nonsense" in json.loads(result.stderr)["error"]["message"]


def test_markup_in_a_message_is_printed_as_it_is() -> None:
    result = run(raiser(ConfigError("give [bold] or [x]")), ["fail"])

    assert "give [bold] or [x]" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_trouble_with_the_broker_is_known_under_any_wrapping(flags: list[str]) -> None:
    trouble = KeyError("and once more")
    trouble.__context__ = RuntimeError("Celery must be restarted")
    trouble.__context__.__cause__ = redis.ConnectionError("refused")

    result = run(raiser(trouble), ["fail", *flags])

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "refused" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_that_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(raiser(ZeroDivisionError()), ["fail"])
