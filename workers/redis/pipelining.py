"""Sends the commands of concurrent callers to Redis together.

Most of what a command costs is its own write, read and turn of the event loop: commands that share them cost a
fraction. While one batch is under way the next one gathers, so that a lone caller waits for nobody.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import redis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

_Waiting = list[tuple[tuple[Any, ...], asyncio.Future[Any]]]


class Pipelining:
    """Commands on one client, from one event loop.

    A command may run twice: what a lost connection left without an answer is sent again.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: _Waiting = []
        self._sending: asyncio.Task[None] | None = None

    async def execute(self, *command: Any) -> Any:
        """The server's answer to one command, as it came.

        Raises:
            redis.RedisError: the server refused the command, or could not be reached.
        """
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
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

    async def _replies(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands and read their replies, errors of single ones among them.

        What redis-py's own pipelines do for less: they pack each argument by itself and look at each command twice.
        """
        pool = self._client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]

        async def exchange() -> list[Any]:
            await connection.send_packed_command(_packed(commands, connection.encoder.encode))
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
        finally:
            await pool.release(connection)
        return replies


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=inf)
    except ResponseError as error:
        return error


def _packed(commands: Sequence[Sequence[Any]], encode: Callable[[Any], bytes]) -> bytes:
    """Commands as the server reads them: lists of byte strings."""
    parts = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
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
