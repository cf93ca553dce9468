"""Sends the commands of concurrent callers to Redis together.

Most of what a command costs is its own write, read and turn of the event loop: commands that share them cost a
fraction. While one batch is under way the next one gathers, so that a lone caller waits for nobody.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import redis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

#: Commands as the server reads them, and who waits for the answer to each.
_Waiting = list[tuple[bytes, asyncio.Future[Any]]]


class Pipelining:
    """Commands on one client, from one event loop.

    A command may run twice: what a lost connection left without an answer is sent again.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._encode: Callable[[Any], bytes] = self._pool.get_encoder().encode  # type: ignore[no-untyped-call]
        #: Kept while there is a client: to ask the pool for one costs more than to send a command.
        self._connection: AbstractConnection | None = None
        self._waiting: _Waiting = []
        self._sending: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, client: Redis) -> "Pipelining":
        """The one of a client: what all that use it send goes together."""
        return _of_clients.setdefault(client, cls(client))

    async def execute(self, *command: Any) -> Any:
        """The server's answer to one command, as it came.

        Raises:
            redis.RedisError: the server refused the command, or could not be reached.
        """
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((_packed(command, self._encode), answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        batch: _Waiting = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._exchange(batch)
        finally:
            self._sending = None
            # Any that are left were cut off by the end of this task: nobody is to wait for them for ever.
            for _, answer in (*batch, *self._waiting):
                answer.cancel()

    async def _exchange(self, batch: _Waiting) -> None:
        replies: Sequence[Any]
        try:
            replies = await self._replies([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, it is each caller's to know
            replies = [error] * len(batch)
        for (_, answer), reply in zip(batch, replies, strict=True):
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    async def _replies(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands and read their replies, errors of single ones among them.

        What redis-py's own pipelines do for less: they pack each argument by itself and look at each command twice.
        """
        connection = self._connection = self._connection or await self._pool.get_connection()  # type: ignore[no-untyped-call]

        async def exchange() -> list[Any]:
            if connection.is_connected and await connection.can_read():
                # Nobody has asked for anything: the server has closed it.
                await connection.disconnect()
            await connection.send_packed_command(b"".join(commands))
            try:
                # One for all of them; the connection itself would set a timer for each.
                async with asyncio.timeout(connection.socket_timeout):
                    return [await _reply(connection) for _ in commands]
            except TimeoutError:
                raise redis.TimeoutError("Redis gave no answer in time") from None

        async def failed(error: Exception) -> None:
            await connection.disconnect(error=error)

        try:
            replies: list[Any] = await connection.retry.call_with_retry(exchange, failed)
        except BaseException:
            # A reply may still be under way; nothing else may read it in place of its own.
            await connection.disconnect(nowait=True)
            raise
        return replies


_of_clients: WeakKeyDictionary[Redis, Pipelining] = WeakKeyDictionary()


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=inf)
    except ResponseError as error:
        return error


def _packed(command: Sequence[Any], encode: Callable[[Any], bytes]) -> bytes:
    """A command as the server reads it: a list of byte strings."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument.encode() if isinstance(argument, str) else encode(argument)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Script:
    """A Lua script that runs with what others send."""

    def __init__(self, pipelining: Pipelining, source: str) -> None:
        self._pipelining = pipelining
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        """What the script returns.

        Args:
            keys: all keys that it touches.
            args: its arguments.

        Raises:
            redis.RedisError: the script failed, or the server could not be reached.
        """
        try:
            return await self._pipelining.execute("EVALSHA", self._digest, len(keys), *keys, *args)
        except NoScriptError:
            # The server has not met the script yet, or has forgotten it.
            return await self._pipelining.execute("EVAL", self._source, len(keys), *keys, *args)
