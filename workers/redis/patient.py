"""The client of a worker's working state: it waits for Redis to come back rather than fail.

What it carries cannot be had again: the usage of a call that was paid for, the memories that came of it. The scripts
that go through it may all run twice.
"""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

#: Seconds of the first wait and of the longest one, and how many there are: about two minutes together, as long as
#: results are held back for the same reason. After that the job goes back to its queue.
_FIRST, _LONGEST, _TRIES = 0.1, 2.0, 60

#: Connections of one process, and seconds that a burst waits for a free one.
_CONNECTIONS, _WAIT = 50, 30


def patient_client(url: str) -> redis.asyncio.Redis:
    """A client that sends again, for some two minutes, what a lost connection left without an answer.

    Args:
        url: of Redis; nothing is opened before the first command.
    """
    # Blocking: a burst waits for a connection instead of failing after the call was paid for.
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_WAIT,
        # Of the connections, since a client that is given its pool has no say in it.
        retry=Retry(ExponentialWithJitterBackoff(base=_FIRST, cap=_LONGEST), _TRIES),
    )
    return redis.asyncio.Redis.from_pool(pool)
