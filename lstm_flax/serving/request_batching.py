"""Batches across requests: texts that arrive during one batch are answered in the next.

Nothing waits for a batch to fill: an idle predictor answers a single text at once. Under load, the
texts that arrived in the meantime form the next batch.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

MAX_BATCH = 256  # the most texts answered together


class BusyError(Exception):
    """More texts are waiting than the queue has room for."""


class _Waiting(NamedTuple):
    """The texts of one request, and the future for its answer."""

    texts: Sequence[str]
    answer: asyncio.Future


class RequestBatcher:
    """Answers the requests of one event loop on a separate thread.

    >>> async def ask():
    ...     upper = lambda texts: [text.upper() for text in texts]
    ...     async with RequestBatcher(upper, max_queue=8) as batcher:
    ...         return await asyncio.gather(batcher.ask(["a"]), batcher.ask(["b", "c"]))
    >>> asyncio.run(ask())
    [['A'], ['B', 'C']]

    Args:
        answer: returns one answer per text, in order.
        max_queue: number of texts that may wait, besides those being answered.
        max_batch: the most texts answered together; a single request may exceed it.
        on_batch: called with the number of texts of each batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[str]], Sequence[Any]],
        max_queue: int,
        max_batch: int = MAX_BATCH,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.waiting = 0
        self._answer = answer
        self._max_queue = max_queue
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="answer")
        self._worker: asyncio.Task | None = None

    async def __aenter__(self) -> "RequestBatcher":
        """Starts answering."""
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops; requests that are still waiting are cancelled."""
        assert self._worker is not None
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        for request in self._queue:
            request.answer.cancel()
        await asyncio.to_thread(self._pool.shutdown)

    async def ask(self, texts: Sequence[str]) -> list[Any]:
        """Returns one answer per text, in order.

        Args:
            texts: texts of one request, none of them empty.

        Raises:
            BusyError: the queue has no room for them.
        """
        if self.waiting + len(texts) > self._max_queue:
            raise BusyError
        request = _Waiting(texts, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self.waiting += len(texts)
        self._arrived.set()
        found: list[Any] = await request.answer
        return found

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._take()
            if not batch:
                continue
            texts = [text for request in batch for text in request.texts]
            if self._on_batch is not None:
                self._on_batch(len(texts))
            try:
                answers = await loop.run_in_executor(self._pool, self._answer, texts)
            except Exception as error:  # affects only this batch; the next one may be fine
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            start = 0
            for request in batch:
                if not request.answer.done():  # its client may have disconnected
                    request.answer.set_result(list(answers[start : start + len(request.texts)]))
                start += len(request.texts)

    def _take(self) -> list[_Waiting]:
        """Takes the requests to answer together next: in order, and complete."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].texts) <= self._max_batch):
            request = self._queue.popleft()
            self.waiting -= len(request.texts)
            if not request.answer.done():
                batch.append(request)
                size += len(request.texts)
        if not self._queue:
            self._arrived.clear()
        return batch
