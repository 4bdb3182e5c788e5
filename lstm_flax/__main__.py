"""The program `lstm-flax`, also run as `python -m lstm_flax`."""

import os
import signal
import threading
from types import FrameType
from typing import NoReturn

_INTERRUPTED = 130  # the shell's convention: 128 plus SIGINT's number
_LATER = 0.05  # seconds


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs one command as a program; the imports come after Ctrl-C is taken care of."""
    installed = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if installed:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from lstm_flax.cli import program

        program(arguments)
    finally:
        if installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raises `KeyboardInterrupt`, where Python would neither ignore it nor crash.

    Python ignores exceptions in callbacks of the garbage collector, and JAX has one: there, the
    signal is sent again a little later. During an import, an exception can abort the process in a C
    extension; an import leaves nothing half-done, so the process ends at once.
    """
    while frame is not None:
        if frame.f_code.co_name == "_xla_gc_callback":
            threading.Timer(_LATER, os.kill, (os.getpid(), number)).start()
            return
        if "importlib._bootstrap" in frame.f_code.co_filename:
            try:
                os.write(2, b"interrupted\n")
            finally:  # even if whoever reads standard error has gone
                os._exit(_INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
