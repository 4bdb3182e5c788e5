"""Stopping a run politely: the step in progress ends, the state is saved, the program leaves."""

import os
import signal
import threading
from types import FrameType
from typing import Any


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
