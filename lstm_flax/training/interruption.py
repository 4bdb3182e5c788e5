"""Stopping a run politely: the step in progress ends, the state is saved, the program leaves."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

EXIT_STATUS = 130  # as a shell has it: 128 and SIGINT's number


class Interrupted(Exception):
    """The run was asked to stop; everything is saved."""


class StopRequest:
    """While entered, SIGINT and SIGTERM are noted instead of killing; a second SIGINT does kill."""

    def __init__(self) -> None:
        """Nothing is requested yet."""
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.requested:
            # Not through sys.stderr, which may be in the middle of a write.
            os.write(2, b"\nstopping as soon as this step or compilation is done\n")
        self.requested = True


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
