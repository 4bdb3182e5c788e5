"""Saving leaves nothing behind in memory."""

import gc
from pathlib import Path

import jax.numpy as jnp
import pytest
from orbax.checkpoint._src.serialization import tensorstore_utils

from lstm_flax.checkpoints.counters import leave_counters_alone
from lstm_flax.checkpoints.folder import CheckpointFolder
from lstm_flax.checkpoints.restore import load_trained_model


@pytest.mark.slow
def test_many_saves_leave_no_objects_behind(
    finished: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "get_tensorstore_raw_bytes"
    monkeypatch.setattr(tensorstore_utils, name, getattr(tensorstore_utils, name))  # put back after
    leave_counters_alone()
    metadata = load_trained_model(finished[0]).metadata
    folder = CheckpointFolder(tmp_path, keep=2)

    def objects_after(saves: range) -> int:
        for step in saves:
            folder.save(step, {"params": {"w": jnp.ones((10, 10))}}, metadata)
            folder.wait()
        gc.collect()
        return len(gc.get_objects())

    before = objects_after(range(60))  # Orbax keeps the last paths in caches of their own
    after = objects_after(range(60, 100))
    folder.close()
    assert after - before < 200  # 24 lists a save before
