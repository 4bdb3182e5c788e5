"""What `lstm-flax evaluate` says, keeps and leaves alone."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest

from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.training.train import train


def test_training_texts_in_a_test_file_are_told_and_the_training_keeps_its_results(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    written = (workdir / "results.json").read_bytes()
    assert main(["evaluate", f"--workdir={workdir}"]) == 0
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        place = f"--config.data.test_path={tiny_config.data.train_path}"
        assert main(["evaluate", f"--workdir={workdir}", place]) == 0
    assert "100 of its 100 texts are training texts too" in caplog.text
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((workdir / "evaluation.json").read_text()) == printed
    assert (workdir / "results.json").read_bytes() == written
    assert train(tiny_config, workdir, show_progress=False) == finished[1]


def test_a_run_to_start_from_that_is_not_there_is_named_by_its_field(
    tiny_config: Config, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, init_from=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"^config\.init_from = .*nowhere.*no checkpoint here"):
        train(config, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
