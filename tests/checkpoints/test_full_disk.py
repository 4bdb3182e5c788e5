"""A disk that runs full while a run trains: one line, and nothing of what was saved is lost."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orbax.checkpoint as ocp
import pytest

from lstm_flax.checkpoints.disk_space import saving
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.training.run.progress import RunLog
from lstm_flax.training.train import train
from tests.cli.run_files import leaves
from tests.training.step_cases import changed


@pytest.fixture
def two_epochs(brief_config: Config) -> Config:
    """14 steps, saved after steps 4, 7, 8, 12 and 14."""
    return changed(brief_config, training={"epochs": 2})


def saved_steps(workdir: Path) -> list[str]:
    return sorted(path.name for path in (workdir / "last").iterdir())


def test_a_checkpoint_that_would_not_fit_is_not_begun(
    two_epochs: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [10**9] * 4 + [10**5]  # for the fifth of all saves there is none

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=room.pop(0), total=10**9)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", usage)
        with pytest.raises(UserError, match=r"it needs 2\.\d MB, 0\.1 are free\); make room or"):
            train(two_epochs, tmp_path / "stopped", show_progress=False)
    assert not room
    before = saved_steps(tmp_path / "stopped")
    assert before
    assert all(name.isdigit() for name in before)
    train(two_epochs, tmp_path / "stopped", show_progress=False)
    train(two_epochs, tmp_path / "whole", show_progress=False)
    for a, b in zip(leaves(tmp_path / "stopped"), leaves(tmp_path / "whole"), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize(
    "error", [ValueError("No ArrayMetadata found for process_index=0"), FileNotFoundError(2, "")]
)
def test_a_folder_that_was_removed_is_one_line(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="last: was removed"), saving(tmp_path / "run" / "last"):
        raise error


FULL = (
    ValueError(
        'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at local file "/x/": '
        "Failed to write 99 bytes to file 9: No space left on device [os_error_code='28']"
    ),
    OSError(errno.ENOSPC, "No space left on device", "/x/5"),
)


@pytest.mark.parametrize("error", FULL, ids=["TensorStore", "Orbax"])
@pytest.mark.parametrize("when", ["save", "wait_until_finished"])
def test_what_is_raised_on_a_full_disk_becomes_one_line(
    two_epochs: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    error: Exception,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(ocp.CheckpointManager, when, fail)
    message = (
        r"(last|best): a checkpoint cannot be saved \(No space left on device\); make room or give "
        "the right to write there, and the same command continues from the newest there is$"
    )
    with pytest.raises(UserError, match=message):
        train(two_epochs, tmp_path, show_progress=False)


def test_a_file_system_that_does_not_tell_its_size_is_written_to(
    brief_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0, total=0))
    train(brief_config, tmp_path, show_progress=False)
    assert saved_steps(tmp_path) == ["4", "7"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
def test_a_log_that_cannot_be_written_is_named_when_it_is_closed_too(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl", resumed_step=0)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file.fileno())
    os.close(full)
    for attempt in (lambda: log.write("train", 1), log.close):
        with pytest.raises(UserError, match=r"log\.jsonl: cannot be written .*No space left"):
            attempt()
