"""Saving leaves nothing behind in memory."""

import gc
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from orbax.checkpoint._src.serialization import tensorstore_utils

from lstm_flax.checkpoints.folder import CheckpointFolder
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.checkpoints.tensorstore_leak import avoid_leaks


@pytest.mark.slow
def test_many_saves_leave_no_objects_behind(
    finished: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("get_tensorstore_raw_bytes", "ts"):  # put back after
        monkeypatch.setattr(tensorstore_utils, name, getattr(tensorstore_utils, name))
    avoid_leaks()
    metadata = load_trained_model(finished[0]).metadata
    folder = CheckpointFolder(tmp_path, keep=2)

    params = {f"w{i}": jnp.ones((10, 10)) for i in range(4)}

    def held_after(saves: range) -> tuple[int, int]:
        for step in saves:
            folder.save(step, {"params": params}, metadata)
            folder.wait()
        gc.collect()
        return len(gc.get_objects()), sys.getallocatedblocks()

    before = held_after(range(60))  # Orbax keeps the last paths in caches of their own
    after = held_after(range(60, 100))
    folder.close()
    assert after[0] - before[0] < 200  # 24 lists a save, if Orbax asks for counters
    assert after[1] - before[1] < 400  # 13 strings a save and array, if it asks for JSON
