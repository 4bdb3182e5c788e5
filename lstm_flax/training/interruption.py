"""Stopping a run politely: the step in progress ends, the state is saved, the program leaves."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

EXIT_STATUS = 130  # as a shell has it: 128 and SIGINT's number


class Interrupted(Exception):
    """The run was asked to stop; everything is saved."""


class StopRequest:
    """While entered, SIGINT and SIGTERM are noted instead of killing; a second SIGINT does kill."""

    def __init__(self, agree: Callable[[int], bool] | None = None) -> None:
        """Nothing is requested yet.

        Args:
            agree: of several processes that stop together, tells after each step whether it is the
                one. SIGTERM is then JAX's, which tells the others.
        """
        self.requested = False
        self._asked = False
        self._agree = agree
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
            before = signal.getsignal(signal.SIGTERM)
            if self._agree is None:
                before = signal.signal(signal.SIGTERM, self._note)
            self._before[signal.SIGTERM] = before
        return self

    def reached(self, step: int) -> bool:
        """True if the run is to stop after this step; to be asked after each."""
        if self._agree is not None:
            self.requested = self._agree(step) or self.requested
        return self.requested

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._asked:
            # Not through sys.stderr, which may be in the middle of a write.
            os.write(2, b"\nstopping as soon as this step or compilation is done\n")
        self._asked = True
        if self._agree is None:
            self.requested = True
        else:
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """While entered, SIGINT and SIGTERM end the process, wherever it is; for programs alone.

    A `KeyboardInterrupt` raised while a module is imported may be swallowed by it, and one raised
    while XLA compiles waits for XLA. Whatever is on disk is whole. `StopRequest` goes before it.
    """

    def leave(_: int, __: FrameType | None) -> None:
        os.write(2, b"\ninterrupted; the same command continues\n")
        with contextlib.suppress(OSError, RuntimeError):  # it may be in the middle of a write
            sys.stdout.flush()
        os._exit(EXIT_STATUS)

    is_main = threading.current_thread() is threading.main_thread()  # only it may set handlers
    numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
