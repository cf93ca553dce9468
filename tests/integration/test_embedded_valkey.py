from pathlib import Path

import pytest
import redis

from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration


def test_it_keeps_data_and_address_over_a_restart() -> None:
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        before = valkey.url
        client.set("a", 1)

        valkey.restart()

        assert valkey.url == before
        assert client.get("a") == b"1"


def test_it_comes_back_after_a_crash() -> None:
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        client.ping()
        valkey.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()

        valkey.start()

        assert client.ping()


def test_a_given_directory_keeps_the_data_beyond_the_context(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path) as valkey, redis.Redis.from_url(valkey.url) as client:
        client.set("a", 1)
    with EmbeddedValkey(data_dir=tmp_path) as valkey, redis.Redis.from_url(valkey.url) as client:
        assert client.get("a") == b"1"


def test_it_refuses_jobs_rather_than_drop_some_and_listens_on_this_machine_only() -> None:
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        settings = client.config_get("*")

    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["bind"] == "127.0.0.1"


def test_two_can_run_side_by_side() -> None:
    with EmbeddedValkey() as one, EmbeddedValkey() as two:
        assert one.url != two.url
