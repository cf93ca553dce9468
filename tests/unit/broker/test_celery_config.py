import importlib.util
import ssl
from typing import Any

import pytest

from config.celeryconfig import celery_config
from config.errors import SettingsError
from config.settings import Settings
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, VERIFY_TASK, ProviderKind, provider_queue, provider_task
from workers.app import create_app


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def test_there_is_one_queue_per_provider_beside_the_entry_and_never_celerys_own() -> None:
    config = celery_config(settings())

    names = {queue.name for queue in config["task_queues"]}
    assert names == {ENTRY_QUEUE, *(provider_queue(kind) for kind in ProviderKind)}
    assert config["task_default_queue"] == ENTRY_QUEUE


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (EXTRACT_TASK, ENTRY_QUEUE),
        (VERIFY_TASK, ENTRY_QUEUE),
        *((provider_task(kind), provider_queue(kind)) for kind in ProviderKind),
    ],
)
def test_each_task_goes_to_its_queue_by_name_alone(task: str, queue: str) -> None:
    app = create_app(settings())

    assert app.amqp.router.route({}, task)["queue"].name == queue


def test_an_unknown_queue_is_an_error() -> None:
    app = create_app(settings())

    with pytest.raises(KeyError):
        app.amqp.queues["extract.opnai"]


def test_rate_limits_of_providers_become_annotations_of_their_tasks() -> None:
    config = celery_config(settings(rate_limits={"openai": "600/m", "gemini": "5/s"}))

    assert config["task_annotations"] == {
        "extract.openai": {"rate_limit": "600/m"},
        "extract.gemini": {"rate_limit": "5/s"},
    }


@pytest.mark.parametrize("concurrency", [1, 100, 1_000])
def test_connections_suffice_for_every_thread_at_once(concurrency: int) -> None:
    config = celery_config(settings(concurrency=concurrency))

    assert config["broker_transport_options"]["max_connections"] > concurrency
    assert config["redis_max_connections"] > concurrency
    assert config["worker_concurrency"] == concurrency


def test_a_dead_workers_jobs_come_back_after_the_visibility_timeout_and_a_few_seconds() -> None:
    options = celery_config(settings(visibility_timeout=60))["broker_transport_options"]

    assert options["visibility_timeout"] == 60
    assert options["unacked_restore_interval"] <= 5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("redis://:pw@h:1/2", "redis://:pw@h:1/2"),
        ("rediss://h/0", "rediss://h/0"),
        ("valkey://u:pw@h:1/2?x=y", "redis://u:pw@h:1/2?x=y"),
        ("valkeys://h/0", "rediss://h/0"),
    ],
)
def test_redis_and_valkey_urls_are_understood(given: str, told: str) -> None:
    config = celery_config(settings(broker_url=given))

    assert config["broker_url"] == config["result_backend"] == told


@pytest.mark.parametrize(
    "url", ["amqp://guest:pw@h//", "redis+socket:///tmp/x", "sentinel://h:1", "redis://a;redis://b", "h:6379"]
)
def test_other_brokers_are_refused_by_variable_and_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="BYOM_BROKER_URL must be one URL that begins with") as refused:
        celery_config(settings(broker_url=url))
    assert "pw" not in str(refused.value)

    with pytest.raises(SettingsError, match="BYOM_RESULT_URL"):
        celery_config(settings(result_url=url))


def test_tls_verifies_the_server_unless_the_url_says_otherwise() -> None:
    strict = create_app(settings(broker_url="rediss://h/0"))
    lax = create_app(settings(broker_url="rediss://h/0?ssl_cert_reqs=none"))
    plain = create_app(settings(broker_url="redis://h/0"))

    assert strict.connection().ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert lax.connection().ssl == {"ssl_cert_reqs": ssl.CERT_NONE}
    assert not plain.connection().ssl
    assert vars(strict.backend)["connparams"]["ssl_cert_reqs"] == ssl.CERT_REQUIRED


def test_the_connection_keeps_its_url_by_which_flower_knows_the_broker() -> None:
    app = create_app(settings(broker_url="redis://:pw@h:1/2"))

    assert app.connection().as_uri() == "redis://:**@h:1/2"
    assert "pw" not in str(app.conf.humanize(with_defaults=False))


def test_importing_the_app_module_reads_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "not a number")

    source = importlib.util.find_spec("workers.app")
    assert source is not None
    assert source.loader is not None
    fresh = importlib.util.module_from_spec(source)
    source.loader.exec_module(fresh)

    assert "app" not in vars(fresh)
    assert fresh.create_app(settings(concurrency=3)).conf.worker_concurrency == 3
