"""Programs are compiled once for each batch shape."""

import signal
import threading
import time
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.devices.compilation import BucketedFunction


class Tokens(NamedTuple):
    token_ids: np.ndarray


def tokens(width: int) -> Tokens:
    return Tokens(np.ones((2, width), np.int32))


@pytest.mark.smoke
def test_compiling_ahead_leaves_nothing_to_compile() -> None:
    traced = []

    def weigh(tree: float, batch: Tokens) -> jnp.ndarray:
        traced.append(batch.token_ids.shape)
        return tree * batch.token_ids.sum()

    function = BucketedFunction(weigh)
    function.compile(2.0, [tokens(3), tokens(5), tokens(3)])
    assert sorted(traced) == [(2, 3), (2, 5)]
    assert [float(function(2.0, tokens(width))) for width in (3, 5, 3)] == [12, 20, 12]
    assert len(traced) == function.compilations == 2
    assert float(function(2.0, tokens(7))) == 28  # a shape that nobody foresaw
    assert function.compilations == 3


def test_an_interruption_does_not_wait_for_what_is_being_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function = BucketedFunction(lambda tree, batch: tree)
    interrupted, release = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def send() -> None:
        while not interrupted.wait(0.1):  # Python loses one that comes just before it waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    class Slow:
        def lower(self, *_: object) -> None:
            threading.Thread(target=send).start()
            release.wait(20)
            raise RuntimeError("compiled after all")

    before = signal.signal(signal.SIGINT, interrupt)
    monkeypatch.setattr(function, "_jitted", Slow())
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            function.compile(None, [tokens(2)])
    finally:
        signal.signal(signal.SIGINT, before)
        interrupted.set()
        release.set()
    assert time.monotonic() - start < 10
