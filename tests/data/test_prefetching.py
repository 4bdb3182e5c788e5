import threading
import time

import pytest

from lstm_flax.data.prefetching import prefetch


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetch_keeps_order():
    with prefetch(iter(range(100)), size=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []
    assert not prefetch_threads()


def test_prefetch_raises_in_place():
    def failing():
        yield 1
        yield 2
        raise KeyError("lost")

    items = prefetch(failing())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="lost"):
        next(items)
    assert not prefetch_threads()


def test_prefetch_ends_when_the_consumer_stops():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with prefetch(endless()) as items:
        next(items)
    assert closed.is_set()
    dropped = prefetch(endless())
    next(dropped)
    del dropped
    deadline = time.monotonic() + 5
    while prefetch_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not prefetch_threads()


def test_prefetch_runs_ahead_but_not_far():
    made = []
    with prefetch((made.append(i) or i for i in range(100)), size=2) as items:
        next(items)
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(made) == 4  # one taken, two ready, one in hand
