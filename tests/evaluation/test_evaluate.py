"""What `lstm-flax evaluate` says, keeps and leaves alone."""

import csv
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
    evaluate = ["evaluate", f"--workdir={workdir}", f"--config={workdir / 'config.json'}"]
    assert main(evaluate) == 0
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        place = f"--config.data.test_path={tiny_config.data.train_path}"
        assert main([*evaluate, place]) == 0
    assert "100 of its 100 texts are training texts too" in caplog.text
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((workdir / "evaluation.json").read_text()) == printed
    assert (workdir / "results.json").read_bytes() == written
    assert train(tiny_config, workdir, show_progress=False) == finished[1]


@pytest.mark.parametrize("columns", [["--text_column=body", "--label_column=mood"], []])
def test_a_labelled_file_is_scored_as_the_split_of_the_same_texts(
    columns: list[str],
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = tmp_path / "copied"  # alone: neither the run nor its data are needed
    shutil.copytree(next((finished[0] / "best").glob("[0-9]*")), checkpoint / "21")
    lines = Path(str(tiny_config.data.test_path)).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("body", "mood"), *((row["text"], row["label"]) for row in rows)])
    file = f"--file={tmp_path / 'mine.csv'}"
    assert main(["evaluate", f"--workdir={checkpoint}", file, *columns]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    scores = json.loads(last)
    assert scores["file"] == str(tmp_path / "mine.csv")
    assert "mine.csv" in table[0]
    for name in ("examples", "accuracy", "loss", "calibrated_loss", "confusion", "label_names"):
        assert scores[name] == finished[1][name], name
    assert sorted(path.name for path in checkpoint.iterdir()) == ["21"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--file={folder}/gone.csv", "--workdir=nowhere"],
            "error: --file={folder}/gone.csv: no such file or folder; check the path",
        ),
        (
            ["--file={folder}/other.csv", "--label_column=mood"],
            "no column 'mood', only 'text', 'label'; set --label_column=NAME, or add a first line "
            "of column names",
        ),
        (
            ["--file={folder}/other.csv"],
            "other.csv:3: label 'mixed' is not known to the model, which has 'neg', 'pos'; correct "
            "it or leave the example out; unknown too: {folder}/other.csv:4: 'odd'",
        ),
        (["--file={folder}/other.csv", "--split=test"], "leave out --config, --split and fields"),
        (["--label_column=mood"], "name columns of a file; add --file=PATH"),
    ],
)
def test_mistakes_with_a_labelled_file(
    finished: tuple[Path, dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    (tmp_path / "other.csv").write_text("text,label\na film,pos\na film,mixed\na film,odd\n")
    words = [flag.format(folder=tmp_path) for flag in flags]
    assert main(["evaluate", f"--workdir={finished[0]}", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(message.format(folder=tmp_path))


def test_a_language_model_scores_no_labelled_file(
    finished_lm: tuple[Path, dict], tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    file = f"--file={tiny_config.data.test_path}"
    assert main(["evaluate", f"--workdir={finished_lm[0]}", file]) == 2
    assert "holds a language model, which knows no labels" in capsys.readouterr().err


def test_a_run_to_start_from_that_is_not_there_is_named_by_its_field(
    tiny_config: Config, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, init_from=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"^config\.init_from = .*nowhere.*no checkpoint here"):
        train(config, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
