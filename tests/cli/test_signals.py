"""Ctrl-C: the program ends, with one line and status 130, wherever it is."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lstm_flax.__main__ import interrupt


def _xla_gc_callback() -> None:
    """Stands for JAX's, whose exceptions Python ignores."""
    signal.raise_signal(signal.SIGINT)


def _sleep_after_the_callback(returned: list[bool]) -> None:
    _xla_gc_callback()
    returned.append(True)
    time.sleep(10)


def test_an_interruption_in_a_callback_of_the_garbage_collector_comes_later() -> None:
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            _sleep_after_the_callback(returned := [])
        assert returned == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interruption_of_an_import_ends_the_process_at_once(tmp_path: Path) -> None:
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
    (tmp_path / "slow.py").write_text(slow)
    program = f"""
        import signal, sys
        from lstm_flax.__main__ import interrupt
        signal.signal(signal.SIGINT, interrupt)
        sys.path.append({str(tmp_path)!r})
        try:
            import slow
        except BaseException:  # as a package may that falls back to another
            print("swallowed")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=15
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


PROGRAM = """
import signal
from lstm_flax.__main__ import interrupt, main
signal.signal(signal.SIGINT, interrupt)
print("ready", flush=True)
main(["explain", "good film"])
"""


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.7])
def test_the_program_ends_while_it_starts(seconds: float) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    time.sleep(seconds)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, "")
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err
