"""Programs are compiled once for each batch shape, and kept on disk for the next process."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
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


PROGRAM = """
import jax, jax.numpy as jnp
from lstm_flax.devices import compilation
compilation._WORTH_KEEPING = 0.0
compilation.keep_compiled_programs()
print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((4, 4)))[0, 0])
"""


def run_program(home: Path, **variables: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XDG_"))}
    environment |= {"HOME": str(home), "JAX_PLATFORMS": "cpu", **variables}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=120)


def test_the_next_process_finds_what_was_compiled(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "lstm_flax" / "compiled"
    run_program(tmp_path)
    kept = {path.name for path in folder.iterdir() if not path.name.endswith("-atime")}
    assert kept
    run_program(tmp_path)
    assert {path.name for path in folder.iterdir() if not path.name.endswith("-atime")} == kept


def test_the_cache_lies_where_xdg_says(tmp_path: Path) -> None:
    run_program(tmp_path, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert any((tmp_path / "xdg" / "lstm_flax" / "compiled").iterdir())
    assert not (tmp_path / ".cache").exists()


def test_a_folder_the_user_has_chosen_is_left_alone(tmp_path: Path) -> None:
    run_program(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert not (tmp_path / ".cache").exists()


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
