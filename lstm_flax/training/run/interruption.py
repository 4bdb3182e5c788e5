"""Clean interruption: finishes the step in progress, saves the state, and exits."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

EXIT_STATUS = 130  # the shell's convention: 128 plus SIGINT's number


class Interrupted(Exception):
    """The run was asked to stop, and everything is saved."""


class StopRequest:
    """Records SIGINT and SIGTERM instead of exiting while active; a second SIGINT does exit."""

    def __init__(self, agree: Callable[[int], bool] | None = None) -> None:
        """Starts with nothing requested.

        Args:
            agree: for several processes that must stop together: called after each step, returns
                True if that step is the last one. JAX then handles SIGTERM and informs the other
                processes.
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
        """Returns True if the run should stop after this step; call it after every step."""
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
            # sys.stderr may be in the middle of a write, so write to its descriptor.
            os.write(2, b"\nstopping as soon as this step or compilation is done\n")
        self._asked = True
        if self._agree is None:
            self.requested = True
        else:
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Makes SIGINT and SIGTERM end the process at once while active; only for programs.

    A module may swallow a `KeyboardInterrupt` raised during its import, and one raised while XLA
    compiles has to wait for XLA. Files on disk are always complete. `StopRequest` takes precedence.
    """

    def leave(_: int, __: FrameType | None) -> None:
        os.write(2, b"\ninterrupted; the same command continues\n")
        with contextlib.suppress(OSError, RuntimeError):  # the stream may be in mid-write
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
