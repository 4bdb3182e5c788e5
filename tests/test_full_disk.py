"""A disk that runs full while a run trains: one line, and nothing of what was saved is lost."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orbax.checkpoint as ocp
import pytest

from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.training.train import train
from tests.run_files import leaves
from tests.step_cases import changed


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
        return SimpleNamespace(free=room.pop(0))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", usage)
        with pytest.raises(UserError, match=r"it needs 2\.\d MB, 0\.1 are free\); make room, and"):
            train(two_epochs, tmp_path / "stopped", show_progress=False)
    assert not room
    before = saved_steps(tmp_path / "stopped")
    assert before
    assert all(name.isdigit() for name in before)
    train(two_epochs, tmp_path / "stopped", show_progress=False)
    train(two_epochs, tmp_path / "whole", show_progress=False)
    for a, b in zip(leaves(tmp_path / "stopped"), leaves(tmp_path / "whole"), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("when", ["save", "wait_until_finished"])
def test_what_orbax_says_of_a_full_disk_becomes_one_line(
    two_epochs: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError(
            'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at local file "/x/": '
            "Failed to write 99 bytes to file 9: No space left on device [os_error_code='28']"
        )

    monkeypatch.setattr(ocp.CheckpointManager, when, fail)
    message = (
        r"(last|best): a checkpoint cannot be written \(No space left on device\); make room, and "
        "the same command continues from the one before$"
    )
    with pytest.raises(UserError, match=message):
        train(two_epochs, tmp_path, show_progress=False)
