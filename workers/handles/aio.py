"""Waiting for jobs in the manner of `asyncio`: whatever is awaited on one event loop is asked for together."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from weakref import WeakKeyDictionary

from workers.handles.handle import JobHandle
from workers.handles.waiting import Waited, not_ended
from workers.handles.watch import Watch


class _Awaited:
    """All that is awaited on one event loop. Looks in a thread, one look at a time."""

    def __init__(self) -> None:
        self._new: list[JobHandle] = []
        self._futures: dict[JobHandle, list[asyncio.Future[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    def future(self, handle: JobHandle) -> asyncio.Future[None]:
        """Is done when the job has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if handle.ended:
            future.set_result(None)
            return future
        if handle not in self._futures:
            self._new.append(handle)
        self._futures.setdefault(handle, []).append(future)
        self._wanted.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return future

    async def _look(self) -> None:
        watch = Watch()
        try:
            while self._futures:
                for handle in self._new:
                    watch.add(handle)
                self._new.clear()
                self._wanted.clear()
                for handle in await asyncio.to_thread(watch.look):
                    for future in self._futures.pop(handle, ()):
                        _finish(future)
                self._drop_cancelled(watch)
                if self._futures:
                    await self._rest(watch.pause)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is for those who wait
            for future in self._left():
                _finish(future, error)
        finally:
            self._looking = None
            # Nobody is to wait for ever for what looks no more.
            for future in self._left():
                future.cancel()

    async def _rest(self, seconds: float) -> None:
        """Wait for the next look, or until there is something new to look for."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _drop_cancelled(self, watch: Watch) -> None:
        for handle, futures in list(self._futures.items()):
            if all(future.done() for future in futures):
                del self._futures[handle]
                watch.forget(handle)

    def _left(self) -> list[asyncio.Future[None]]:
        left = [future for futures in self._futures.values() for future in futures]
        self._futures.clear()
        self._new.clear()
        return left


#: Event loop → what is awaited on it.
_awaited: WeakKeyDictionary[asyncio.AbstractEventLoop, _Awaited] = WeakKeyDictionary()


def _here() -> _Awaited:
    loop = asyncio.get_running_loop()
    if loop not in _awaited:
        _awaited[loop] = _Awaited()
    return _awaited[loop]


async def ended(handle: JobHandle) -> None:
    """Wait for one job to end, well or not.

    Raises:
        redis.RedisError: the result store was away for too long.
    """
    await _here().future(handle)


async def wait_async(handles: Iterable[JobHandle], timeout: float | None = None) -> Waited:  # noqa: ASYNC109 - as `asyncio.wait`
    """Wait until all these jobs have ended, well or not.

    Args:
        handles: of jobs that anybody enqueued.
        timeout: seconds to wait; None waits for ever.

    Raises:
        redis.RedisError: the result store was away for too long.
    """
    handles = list(handles)
    done: list[JobHandle] = []
    try:
        async for handle in as_completed_async(handles, timeout):
            done.append(handle)  # noqa: PERF401 - what is done is wanted when the rest is not
    except TimeoutError:
        finished = set(done)
        return Waited(done, [handle for handle in handles if handle not in finished])
    return Waited(done, [])


async def as_completed_async(
    handles: Iterable[JobHandle],
    timeout: float | None = None,  # noqa: ASYNC109 - as `asyncio.as_completed`
) -> AsyncIterator[JobHandle]:
    """The handles of these jobs as they end, well or not.

    Args:
        handles: of jobs that anybody enqueued.
        timeout: seconds to wait for all of them; None waits for ever.

    Raises:
        TimeoutError: some have not ended; they go on.
        redis.RedisError: the result store was away for too long.
    """
    loop, awaited = asyncio.get_running_loop(), _here()
    deadline = None if timeout is None else loop.time() + timeout
    finished: asyncio.Queue[tuple[JobHandle, asyncio.Future[None]]] = asyncio.Queue()
    futures = []
    for handle in handles:
        future = awaited.future(handle)
        future.add_done_callback(partial(_put, finished, handle))
        futures.append(future)
    try:
        for count in range(len(futures)):
            try:
                async with asyncio.timeout_at(deadline):
                    handle, future = await finished.get()
            except TimeoutError:
                raise TimeoutError(not_ended(len(futures) - count, timeout)) from None
            future.result()
            yield handle
    finally:
        for future in futures:
            future.cancel()


def _put(
    finished: asyncio.Queue[tuple[JobHandle, asyncio.Future[None]]], handle: JobHandle, future: asyncio.Future[None]
) -> None:
    finished.put_nowait((handle, future))


def _finish(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():  # whoever waited was cancelled
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
