"""Sends the commands of concurrent callers to Redis together.

Most of what a command costs is its own write, read and turn of the event loop: commands that share them cost a
fraction. While one batch is under way the next one gathers, so that a lone caller waits for nobody.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

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
        pipeline = self._client.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command)
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is each caller's to know
            replies = [error] * len(batch)
        for (_, answer), reply in zip(batch, replies, strict=True):
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)


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
