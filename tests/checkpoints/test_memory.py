"""Saving leaves nothing behind in memory."""

import gc
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from orbax.checkpoint._src.serialization import tensorstore_utils

from lstm_flax.checkpoints.folder import CheckpointFolder
from lstm_flax.checkpoints.long_runs import prepare_for_long_runs
from lstm_flax.checkpoints.restore import load_trained_model

PATCHED = (
    *("get_tensorstore_raw_bytes", "ts"),
    *("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"),
)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare_for_long_runs`, taken back after the test."""
    for name in PATCHED:
        monkeypatch.setattr(tensorstore_utils, name, getattr(tensorstore_utils, name))
    prepare_for_long_runs()


@pytest.mark.usefixtures("prepared")
def test_few_threads_read_and_write_files() -> None:
    for use_ocdbt in (True, False):
        context = tensorstore_utils.get_ts_context(use_ocdbt=use_ocdbt)
        assert context["file_io_concurrency"].to_json() == {"limit": 8}


@pytest.mark.slow
@pytest.mark.usefixtures("prepared")
def test_many_saves_leave_no_objects_behind(finished: tuple[Path, dict], tmp_path: Path) -> None:
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
