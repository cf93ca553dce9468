"""The client of a command: a person waits for what it says, and hears soon that Redis does not answer."""

import redis

from config.errors import SettingsError

#: Seconds that Redis may take to answer.
_PATIENCE = 5.0


def connect(url: str) -> redis.Redis:
    """A client of the broker or of the result store; fails with `redis.RedisError` when it does not answer.

    Raises:
        SettingsError: the URL is not one.
    """
    try:
        return redis.Redis.from_url(url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE)
    except ValueError:
        # The client's message may repeat the URL, which may hold a password.
        raise SettingsError(
            "BYOM_BROKER_URL or BYOM_RESULT_URL is not a Redis URL; write redis://HOST:PORT/DB, or rediss:// for TLS"
        ) from None
