import json
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import Settings, load_settings
from tasks.contract import ProviderKind


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory, no variables of ours, nothing remembered."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"BYOM_{name}".upper(), raising=False)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.__context__ is None
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_without_anything_set_the_defaults_hold() -> None:
    settings = load_settings()

    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert settings.backend_url == settings.redis_url
    assert settings.rate_limits == {}


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_settings()
    monkeypatch.setenv("BYOM_CONCURRENCY", "7")

    assert load_settings() is first


def test_the_environment_beats_the_file_which_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("byom.toml").write_text("concurrency = 5\nmax_calls = 6\n", encoding="utf-8")
    monkeypatch.setenv("BYOM_CONCURRENCY", "7")

    settings = load_settings()

    assert (settings.concurrency, settings.max_calls, settings.patience) == (7, 6, 5)


def test_flags_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "7")

    assert Settings(concurrency=8).concurrency == 8


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "")
    monkeypatch.setenv("BYOM_RESULT_URL", "")

    settings = load_settings()

    assert (settings.concurrency, settings.result_url) == (100, None)


def test_rate_limits_are_json_in_the_environment_and_a_table_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"openai": "600/m", "gemini": "0.5/s"}
    expected = {ProviderKind.OPENAI: "600/m", ProviderKind.GEMINI: "0.5/s"}
    Path("byom.toml").write_text('[rate_limits]\nopenai = "600/m"\ngemini = "0.5/s"\n', encoding="utf-8")
    assert load_settings().rate_limits == expected

    load_settings.cache_clear()
    Path("byom.toml").unlink()
    monkeypatch.setenv("BYOM_RATE_LIMITS", json.dumps(limits))
    assert load_settings().rate_limits == expected


def test_results_have_a_place_of_their_own_if_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://:CANARY@broker/0")
    monkeypatch.setenv("BYOM_RESULT_URL", "redis://:CANARY@results/1")

    settings = load_settings()

    assert settings.redis_url == "redis://:CANARY@broker/0"
    assert settings.backend_url == "redis://:CANARY@results/1"


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://:CANARY@broker/0")
    settings = load_settings()

    assert "CANARY" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_all_that_does_not_fit_is_listed_by_variable_and_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "CANARY")
    monkeypatch.setenv("BYOM_CALL_TIMEOUT", "0")
    monkeypatch.setenv("BYOM_CONNECT_TIMEOUT", "inf")
    monkeypatch.setenv("BYOM_LOG_LEVEL", "CANARY")
    monkeypatch.setenv("BYOM_RATE_LIMITS", '{"openai": "CANARY"}')

    lines = refusal().splitlines()

    assert lines[0] == "Settings do not fit; mend them in the environment:"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [
        "BYOM_CONCURRENCY",
        "BYOM_RATE_LIMITS.openai",
        "BYOM_CONNECT_TIMEOUT",
        "BYOM_CALL_TIMEOUT",
        "BYOM_LOG_LEVEL",
    ]


@pytest.mark.parametrize("value", ["{CANARY", "CANARY", "openai=CANARY"])
def test_a_variable_that_should_be_json_says_so(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BYOM_RATE_LIMITS", value)

    assert 'BYOM_RATE_LIMITS: must be a JSON object, such as {"openai": "600/m"}' in refusal()


def test_a_secret_in_the_wrong_shape_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("byom.toml").write_text('broker_url = ["redis://:CANARY@broker/0"]\n', encoding="utf-8")

    assert "BYOM_BROKER_URL: Input should be a valid string" in refusal()


def test_an_unknown_key_in_the_file_is_refused() -> None:
    Path("byom.toml").write_text('broker = "redis://:CANARY@broker/0"\n', encoding="utf-8")

    message = refusal()

    assert "mend them in the environment or byom.toml" in message
    assert "BYOM_BROKER: no such setting; did you mean BYOM_BROKER_URL?" in message
    Path("byom.toml").write_text("zebra = 1\n", encoding="utf-8")
    assert "BYOM_ZEBRA: no such setting; docs/settings.md lists them" in refusal()


def test_a_misspelt_variable_is_refused_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_BROKER_ULR", "redis://:CANARY@broker/0")
    monkeypatch.setenv("BYOM_CONCURRENCY", "CANARY")

    message = refusal()

    assert "BYOM_BROKER_ULR: no such setting; did you mean BYOM_BROKER_URL?" in message
    assert "BYOM_CONCURRENCY: " in message


@pytest.mark.parametrize("name", ["BYOM_PORT", "BYOM_SERVICE_HOST", "BYOM_VALKEY_PORT_6379_TCP", "BYOM_HOME"])
def test_variables_that_an_orchestrator_invents_are_let_be(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:6379")

    assert load_settings()


@pytest.mark.parametrize("text", [b"concurrency = CANARY", b"[", b"a = \xff"], ids=ascii)
def test_a_file_that_is_not_toml_is_reported(text: bytes) -> None:
    Path("byom.toml").write_bytes(text)

    said = refusal()
    assert "byom.toml: " in said
    assert "codec" not in said


def test_a_file_that_cannot_be_read_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("byom.toml").write_text("", encoding="utf-8")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "byom.toml")

    monkeypatch.setattr(Path, "open", denied)

    assert "byom.toml: cannot be read: Permission denied" in refusal()
