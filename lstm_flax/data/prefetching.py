"""Computes items ahead of their use, so a device never waits for its next batch."""

import queue
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _Failure(NamedTuple):
    error: BaseException


class Prefetcher(Iterator[T]):
    """Computes items ahead of their use, in order, on a thread.

    An exception in the items is raised at its place in the order. `close`, or leaving the `with`
    block, ends the thread, even if some items were not consumed.

    Args:
        items: what to iterate over.
        size: how many items to hold ready.

    >>> with prefetch(range(3)) as ahead:
    ...     list(ahead)
    [0, 1, 2]
    """

    def __init__(self, items: Iterable[T], size: int = 2) -> None:
        self._ready: queue.Queue[object] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        # The thread holds the queue and the event, not this object, so a prefetcher that is
        # dropped is collected and ends its thread.
        self._thread = threading.Thread(
            target=_produce, args=(items, self._ready, self._stop), name="prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(self, self._stop.set)
        self._thread.start()

    def __next__(self) -> T:
        if self._stop.is_set():
            raise StopIteration
        item = self._ready.get()
        if isinstance(item, _Failure):
            self.close()
            if isinstance(item.error, StopIteration):
                raise StopIteration
            raise item.error
        return item  # type: ignore[return-value]  # a queue of T and one failure

    def __enter__(self) -> "Prefetcher[T]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the thread; further items are dropped."""
        self._stop.set()
        self._thread.join()


def prefetch(items: Iterable[T], size: int = 2) -> Prefetcher[T]:
    """Returns a `Prefetcher` of the items, best used in a `with` statement."""
    return Prefetcher(items, size)


def _produce(items: Iterable[T], ready: "queue.Queue[object]", stop: threading.Event) -> None:
    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    try:
        for item in items:
            if not put(item):
                break
        else:
            put(_Failure(StopIteration()))
    except BaseException as error:
        put(_Failure(error))
    finally:
        if isinstance(items, Generator):
            items.close()  # on the thread that ran it
