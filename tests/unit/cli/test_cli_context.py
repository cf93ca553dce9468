"""Settings travel unchanged to the processes that a command starts."""

import os

import pytest
from pydantic import SecretStr

from config.errors import SettingsError
from config.settings import Settings, load_settings
from tasks.contract import ProviderKind
from tests.unit.cli.conftest import Byom
from workers.cli.context import environment
from workers.redis.impatient import connect

CUSTOM = Settings(
    broker_url=SecretStr("redis://:pw@127.0.0.1:7000/1"),
    result_url=SecretStr("redis://127.0.0.1:7001/2"),
    store_url="file:/somewhere/store.json",
    store_key=SecretStr("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    concurrency=3,
    rate_limits={ProviderKind.OPENAI: "600/m"},
    allow_private_endpoints=True,
    shutdown_timeout=1.5,
    log_format="json",
)


def test_a_child_reads_back_the_settings_it_was_given(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(CUSTOM).items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()

    assert load_settings() == CUSTOM


def test_a_child_without_a_key_of_the_store_is_given_none(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(Settings()).items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()

    assert load_settings().store_key is None


def test_a_child_does_not_fall_back_to_a_result_store_of_the_environment(
    byom: Byom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_RESULT_URL", "redis://elsewhere:1/0")

    child = environment(Settings(broker_url=SecretStr("redis://here:1/0"), result_url=None))

    assert child["BYOM_RESULT_URL"] == "redis://here:1/0"
    assert os.environ["BYOM_RESULT_URL"] == "redis://elsewhere:1/0"


def test_what_is_not_set_is_not_set_for_a_child_either(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(Settings()).items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()

    assert load_settings().ledger_url is None


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(SettingsError) as caught:
        connect("amqp://me:hidden@127.0.0.1")

    assert "hidden" not in str(caught.value)
