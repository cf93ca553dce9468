"""What commands run with: settings, store and clients, and how flags reach them."""

import json
import os
from typing import Any

from pydantic import SecretStr

from config.settings import Settings, load_settings
from config.store import ParameterStore, open_store
from workers.enqueue.producer import Producer
from workers.redis.impatient import connect


def put_flags(**flags: str | int | None) -> None:
    """Put flags into the environment as `BYOM_*`, so that this process and those that it starts agree.

    Flags so beat the environment, which beats `byom.toml`. Call it before settings are read.
    """
    for name, value in flags.items():
        if value is not None:
            os.environ[f"BYOM_{name.upper()}"] = str(value)
    load_settings.cache_clear()


def configured_store() -> ParameterStore:
    """The store of this process's settings.

    Raises:
        StoreError: its URL is none.
        SettingsError: the settings do not fit.
    """
    settings = load_settings()
    return open_store(settings.store_url, key=settings.store_key)


def open_producer(settings: Settings) -> Producer:
    """A producer, once broker and result store have answered: Celery itself would try for minutes.

    Raises:
        redis.RedisError: one of them does not answer.
    """
    for url in {settings.redis_url, settings.backend_url}:
        with connect(url) as client:
            client.ping()
    return Producer.from_settings(settings)


def environment(settings: Settings) -> dict[str, str]:
    """The environment for processes that are to run with exactly these settings, secrets included."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    values["result_url"] = settings.result_url or settings.broker_url
    return {**os.environ, **{f"BYOM_{name.upper()}": _text(value) for name, value in values.items()}}


def _text(value: Any) -> str:
    if value is None:
        # Read as a setting that is not set.
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else json.dumps(value)
