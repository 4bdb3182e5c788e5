"""Runs and checkpoints that cannot be read: one line that says what, where, what to do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.checkpoints.metadata import Metadata
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.train import train
from tests.checkpoints.resealing import reseal
from tests.cli.mistake_cases import mistake, train_arguments


@pytest.fixture(scope="module")
def run(finished: tuple[Path, dict]) -> Path:
    return finished[0]


def test_a_folder_without_a_checkpoint(capsys: Any, tmp_path: Path) -> None:
    for command in (["evaluate"], ["predict", "text"]):
        line = mistake(capsys, *command, f"--workdir={tmp_path}")
        assert str(tmp_path) in line
        assert "no checkpoint" in line


@pytest.mark.parametrize("empty", [True, False])  # training makes `best/` before it fills it
def test_a_run_of_which_no_epoch_has_ended(
    empty: bool, capsys: Any, run: Path, tmp_path: Path, good_file: Path
) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(run / "last", begun / "last")
    for metadata in begun.glob("last/*/metadata/metadata"):
        values = json.loads(metadata.read_text())
        metadata.write_text(json.dumps(values | {"history": {}}))
        reseal(metadata.parent.parent)
    if empty:
        (begun / "best").mkdir()
    other = train_arguments(tmp_path, train_path=good_file)
    for command in (
        ["evaluate", f"--workdir={begun}"],
        ["predict", "text", f"--workdir={begun}"],
        [*other, f"--config.init_from={begun}"],
    ):
        line = mistake(capsys, *command)
        assert f"{begun / 'best' if empty else begun}: no best checkpoint yet" in line
        assert "continue the training" in line
        assert "--checkpoint=last" in line
        assert f"name {begun / 'last'})" in line
    # What the line advises works.
    assert main(["predict", "text", f"--workdir={begun}", "--checkpoint=last"]) == 0
    assert main(["predict", "text", f"--workdir={begun / 'last'}"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def test_a_finished_run_without_its_best_checkpoint_and_results(
    capsys: Any, run: Path, tiny_config: Config, tmp_path: Path
) -> None:
    rest = tmp_path / "rest"
    shutil.copytree(run, rest, ignore=shutil.ignore_patterns("best", "results.json"))
    with pytest.raises(UserError) as raised:
        train(tiny_config, rest, show_progress=False)
    assert str(raised.value).startswith(f"{rest / 'best'}: its best checkpoint, of step ")
    assert "is gone; copy it here again" in str(raised.value)
    results = train(tiny_config, rest, checkpoint="last", show_progress=False)  # as it advises
    assert results["checkpoint_step"] == results["train_steps"]


def test_a_damaged_checkpoint_under_another_name(capsys: Any, run: Path, tmp_path: Path) -> None:
    (best,) = (path for path in (run / "best").iterdir() if path.name.isdigit())
    shutil.copytree(best, tmp_path / "alone")
    (tmp_path / "alone" / "encoder" / "encoder.json").write_text("{}")
    (tmp_path / "empty" / "metadata").mkdir(parents=True)
    for name, file in (("alone", "encoder/encoder.json"), ("empty", "verification/manifest.json")):
        line = mistake(capsys, "predict", f"--workdir={tmp_path / name}", "text")
        assert f"{tmp_path / name}: a damaged checkpoint ({file} is " in line


def test_folders_whose_names_are_no_steps_are_left_alone(
    run: Path, tiny_config: Config, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    step = find_checkpoints(copy, "best")[1][0]
    for kind in ("best", "last"):
        for name in ("\u00b2", "\uff19\uff19\uff19", "0099"):
            (copy / kind / name).mkdir()
    shutil.copytree(copy / "best" / str(step), copy / "best" / f"000{step}")
    assert find_checkpoints(copy, "best")[1] == [step]
    assert load_trained_model(copy).step == step
    (copy / "results.json").unlink()
    assert train(tiny_config, copy, show_progress=False)["checkpoint_step"] == step


def test_a_checkpoint_of_another_format_version(capsys: Any, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    (path,) = tmp_path.glob("best/*/metadata/metadata")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    reseal(path.parent.parent)
    line = mistake(capsys, "predict", f"--workdir={tmp_path / 'best'}", "text")
    assert "checkpoint format 99" in line


@pytest.mark.parametrize("damage", ["zeros", "cut short"])
def test_a_damaged_checkpoint(capsys: Any, run: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    for chunk in tmp_path.glob("best/*/averaged_params/**/d/*"):
        content = chunk.read_bytes()
        chunk.write_bytes(bytes(len(content)) if damage == "zeros" else content[:-9])
    line = mistake(capsys, "predict", f"--workdir={tmp_path / 'best'}", "text")
    assert "no whole checkpoint can be read" in line


def test_a_tokenizer_that_does_not_match_its_weights(
    capsys: Any, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    (path,) = tmp_path.glob("best/*/metadata/metadata")
    values = json.loads(path.read_text())
    values["tokenizer_fingerprint"] = "0" * len(values["tokenizer_fingerprint"])
    path.write_text(json.dumps(values))
    reseal(path.parent.parent)
    line = mistake(capsys, "evaluate", f"--workdir={tmp_path / 'best'}")
    assert "tokenizer does not match its weights" in line


def test_a_configuration_that_is_not_the_run_s(capsys: Any, run: Path, tiny_config: Config) -> None:
    arguments = ["evaluate", f"--workdir={run}", "--config.model.hidden_size=9"]
    line = mistake(capsys, *arguments)
    assert "config.model.hidden_size = 8, not 9; a model is evaluated as it was trained" in line
    assert "leave that field out; what may differ is where the data lies, config.data." in line
    assert "test_path" in line


def test_the_last_checkpoint_of_a_folder_that_holds_the_best(
    capsys: Any, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "best", tmp_path / "copied")
    (one,) = (path for path in (tmp_path / "copied").iterdir() if path.name.isdigit())
    for folder in (tmp_path / "copied", one):
        for command in (["evaluate"], ["predict", "text"]):
            line = mistake(capsys, *command, f"--workdir={folder}", "--checkpoint=last")
            assert f"{folder}: a checkpoint by itself" in line
            assert "leave --checkpoint=last out" in line
    folder, steps = find_checkpoints(run / "last", "last")
    folder.close()
    assert steps


def test_metadata_survives_the_round_trip(run: Path) -> None:
    (path,) = run.glob("best/*/metadata/metadata")
    metadata = load_trained_model(run).metadata
    files = metadata.encoder.to_files()
    again = Metadata.from_json(json.loads(path.read_text()), path, TextEncoder.from_files(files))
    assert again.config == metadata.config
    assert again.label_names == ("neg", "pos")
    assert again.encoder.tokenizer.fingerprint == metadata.encoder.tokenizer.fingerprint
    assert again.to_json() == metadata.to_json()


def test_a_checkpoint_copied_under_another_name(capsys: Any, run: Path, tmp_path: Path) -> None:
    (best,) = (path for path in (run / "best").iterdir() if path.name.isdigit())
    shutil.copytree(best, tmp_path / "alone")
    line = mistake(capsys, "predict", f"--workdir={tmp_path / 'alone'}", "text")
    assert f"rename it to {tmp_path / best.name}" in line
    (tmp_path / "alone").rename(tmp_path / "1")
    line = mistake(capsys, "predict", f"--workdir={tmp_path / '1'}", "text")
    assert f"{tmp_path / '1'}: this is the checkpoint of step {best.name}" in line
    (tmp_path / "1").rename(tmp_path / best.name)
    assert main(["predict", f"--workdir={tmp_path / best.name}", "text"]) == 0
