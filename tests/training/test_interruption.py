"""Signals: where nothing waits to be saved, they end the program at once."""

import signal
import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaving_at_once_cannot_be_swallowed(number: signal.Signals) -> None:
    # As a module does that catches everything while it is imported.
    program = f"""
        import os, time
        from lstm_flax.training.run.interruption import leaving_at_once
        with leaving_at_once():
            print("said before")
            try:
                os.kill(os.getpid(), {int(number)})
                time.sleep(20)
            except BaseException:
                pass
        print("never")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=15
    )
    assert done.returncode == 130
    assert done.stdout == "said before\n"
    assert "interrupted; the same command continues" in done.stderr


def test_afterwards_the_handlers_are_those_of_before() -> None:
    from lstm_flax.training.run.interruption import StopRequest, leaving_at_once

    before = signal.getsignal(signal.SIGTERM)
    with leaving_at_once():
        leave = signal.getsignal(signal.SIGTERM)
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        assert signal.getsignal(signal.SIGTERM) is leave
    assert signal.getsignal(signal.SIGTERM) is before
