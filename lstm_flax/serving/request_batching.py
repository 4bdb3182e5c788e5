"""Batching across requests: texts that arrive while others are answered are answered together.

Nothing waits for company: an idle predictor answers a single text at once. Under load, the texts
that came in the meantime are the next batch.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

MAX_BATCH = 256  # texts answered together at most


class BusyError(Exception):
    """More texts wait than the queue has room for."""


class _Predicts(Protocol):
    """A `Predictor`, as far as it is used here."""

    def predict(self, texts: Sequence[str]) -> Sequence[Any]: ...


class _Waiting(NamedTuple):
    """The texts of one request, and where its answer goes."""

    texts: Sequence[str]
    answer: asyncio.Future


class RequestBatcher:
    """Answers requests of one event loop with a predictor on a thread of its own.

    >>> class Echo:
    ...     def predict(self, texts):
    ...         return [text.upper() for text in texts]
    >>> async def ask():
    ...     async with RequestBatcher(Echo(), max_queue=8) as batcher:
    ...         return await asyncio.gather(batcher.predict(["a"]), batcher.predict(["b", "c"]))
    >>> asyncio.run(ask())
    [['A'], ['B', 'C']]

    Args:
        predictor: answers lists of texts.
        max_queue: texts that may wait, those being answered aside.
        on_batch: called with the number of texts of each batch.
    """

    def __init__(self, predictor: _Predicts, max_queue: int, on_batch: Any = None) -> None:
        self.waiting = 0
        self._predictor = predictor
        self._max_queue = max_queue
        self._on_batch = on_batch
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._worker: asyncio.Task | None = None

    async def __aenter__(self) -> "RequestBatcher":
        """Starts answering."""
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops; requests that still wait are cancelled."""
        assert self._worker is not None
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        for request in self._queue:
            request.answer.cancel()
        await asyncio.to_thread(self._pool.shutdown)

    async def predict(self, texts: Sequence[str]) -> list[Any]:
        """One prediction a text, in order.

        Args:
            texts: of one request, none of them empty.

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
                answers = await loop.run_in_executor(self._pool, self._predictor.predict, texts)
            except Exception as error:  # of this batch alone; the next one may be fine
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            start = 0
            for request in batch:
                if not request.answer.done():  # its client may have gone meanwhile
                    request.answer.set_result(list(answers[start : start + len(request.texts)]))
                start += len(request.texts)

    def _take(self) -> list[_Waiting]:
        """The requests that are answered together next: in their order, whole ones."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].texts) <= MAX_BATCH):
            request = self._queue.popleft()
            self.waiting -= len(request.texts)
            if not request.answer.done():
                batch.append(request)
                size += len(request.texts)
        if not self._queue:
            self._arrived.clear()
        return batch
