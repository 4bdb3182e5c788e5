"""Mistakes in flags, fields and configuration files: one line that says what, where, what to do."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.cli import fields, main
from tests.cli.mistake_cases import mistake, train_arguments

CHANGED = """from lstm_flax.config import default_config
def get_config():
    config = default_config()
"""


@pytest.mark.smoke
def test_unknown_flag_and_unknown_field(capsys: Any, tmp_path: Path) -> None:
    start = ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}"]
    assert "--colour" in mistake(capsys, *start, "--colour=red")
    line = mistake(capsys, *start, "--config.model.hidden=3")
    assert "did you mean config.model.hidden_size?" in line
    line = mistake(capsys, *start, "--config.model.hidden_size")
    assert "write --config.model.hidden_size=VALUE" in line
    line = mistake(capsys, *start, "--config.data.lowercase", "--debug=no")
    assert "--debug" in line
    line = mistake(capsys, *start, "--config.data.lowercase")
    assert "--config.data.lowercase=true or --config.data.lowercase=false" in line
    line = mistake(capsys, *start, "--config.training.batch_size=0")
    assert "did you mean config.data.batch_size?" in line
    line = mistake(capsys, *start, "--config.training.epochs", "3", "4")
    assert "train_path = '4': no such file" in line
    line = mistake(capsys, *start, "--config.recipes.adverserial.weight=1")
    assert "did you mean config.recipes.adversarial.weight?" in line
    line = mistake(capsys, *start, "--config.recipes.adversarial=1")
    assert "config.recipes.adversarial = '1': " in line
    assert "--config: is empty; built in are chinese, " in mistake(capsys, *start, "--config=")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_run_can_have(
    capsys: Any, tmp_path: Path, good_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "link"
    nowhere.symlink_to(tmp_path / "gone")
    for folder, there in (
        (good_file, good_file),
        (good_file / "sub" / "run", good_file),
        (nowhere, nowhere),
    ):
        line = mistake(capsys, "train", "--config=imdb", f"--workdir={folder}")
        assert line == (
            f"error: {there}: a file, not the folder of a run; choose another --workdir"
        )
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    line = mistake(capsys, "train", "--config=imdb", f"--workdir={tmp_path / 'new' / 'run'}")
    assert f"{tmp_path}: no right to write in this folder; change that, or choose another" in line
    assert {path.name for path in tmp_path.iterdir()} == {good_file.name, "link"}


def test_own_texts_given_in_the_wrong_place(
    capsys: Any, tmp_path: Path, good_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = f"--workdir={tmp_path / 'run'}"
    right = "--config.data.source=files --config.data.train_path="
    line = mistake(capsys, "train", "--config=good.jsonl", work)
    assert "own texts: lstm-flax train good.jsonl --workdir=DIR" in line
    line = mistake(capsys, "train", "--config=imdb", "--config.data.source=good.jsonl", work)
    assert f"{right}PATH" in line
    # Without the source the file would be passed over, and other data trained on.
    line = mistake(capsys, "train", "--config=imdb", "--config.data.train_path=good.jsonl", work)
    assert "config.data.train_path = 'good.jsonl': source 'imdb_reviews' would not read it" in line
    assert "add --config.data.source=files" in line
    assert list(tmp_path.iterdir()) == [good_file]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("def get_config(:\n", "SyntaxError: invalid syntax"),
        ("import nothing_here\n", "ModuleNotFoundError: No module named 'nothing_here'"),
        ("def get_config():\n    return 1 / 0\n", "ZeroDivisionError"),
        ("def get_config():\n    return {}\n", "must return default_config()"),
        ("x = 1\n", "AttributeError: "),
        (f"{CHANGED}    config.model.hiden = 3\n", "hiden"),
        (f"{CHANGED}    config.model.hidden_size = 'many'\n", "'hidden_size'"),
        (f"{CHANGED}    config.recipes.adversarial.weight = 1.0\n", "recipe_section("),
        (f"{CHANGED}    config.recipes.adversarial = 1.0\n", "'adversarial'"),
        (f"{CHANGED}    config.recipes.mixup = None\n", "mixup"),
    ],
)
def test_a_configuration_file_that_fails(
    content: str, expected: str, capsys: Any, tmp_path: Path
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(content)
    line = mistake(capsys, "train", f"--config={path}", f"--workdir={tmp_path / 'run'}")
    assert f"--config={path}: cannot be read as a configuration" in line
    assert expected in line
    assert not (tmp_path / "run").exists()


def test_an_argument_of_a_configuration_that_takes_none_or_needs_one(
    capsys: Any, tmp_path: Path
) -> None:
    work = f"--workdir={tmp_path / 'run'}"
    line = mistake(capsys, "train", "--config=imdb:long", work)
    assert line.startswith("error: --config=imdb:long: ")
    assert "get_config() takes 0 positional arguments" in line
    path = tmp_path / "mine.py"
    path.write_text("def get_config(length):\n    return length\n")
    assert "missing 1 required" in mistake(capsys, "train", f"--config={path}", work)
    assert "--config=nothing: no such file" in mistake(capsys, "train", "--config=nothing:3", work)
    assert not (tmp_path / "run").exists()


def test_value_out_of_range(capsys: Any, tmp_path: Path) -> None:
    start = ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}"]
    line = mistake(capsys, *start, "--config.model.dropout=1.5")
    assert "config.model.dropout = 1.5: must be at least 0 and below 1" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("model.hidden_size=abc", "model.hidden_size = 'abc': must be a whole number"),
        ("model.hidden_size=1e3", "model.hidden_size = '1e3': must be a whole number"),
        ("optimizer.learning_rate=", "optimizer.learning_rate = '': must be a number"),
        ("data.lowercase=yes", "data.lowercase = 'yes': must be true or false"),
        ("data.bucket_widths=64,x", "must be whole numbers, separated by commas"),
        ("training.class_weights=a", "('a',): must be numbers, separated by commas"),
    ],
)
def test_value_of_another_type(flag: str, expected: str, capsys: Any, tmp_path: Path) -> None:
    start = ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}"]
    line = mistake(capsys, *start, f"--config.{flag}")
    assert line.startswith(f"error: config.{flag.split('=')[0]} = ")
    assert line.endswith(expected)


def test_a_file_that_is_no_run_s_configuration(capsys: Any, tmp_path: Path) -> None:
    for name, content in {"list.json": "[1]", "broken.json": "{", "other.json": '{"a": 1}'}.items():
        path = tmp_path / name
        path.write_text(content)
        line = mistake(capsys, "train", f"--config={path}", f"--workdir={tmp_path / 'run'}")
        assert ("config.a: no such field" if "other" in name else f"{path}: ") in line
    assert "No such file" in mistake(capsys, "inspect", f"--config={tmp_path / 'gone.json'}")


def test_an_implementation_that_cannot_do_what_is_asked(
    capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    arguments = train_arguments(tmp_path, train_path=good_file)
    line = mistake(capsys, *arguments, "--config.model.implementation=cudnn")
    assert "cudnn" in line
    assert "NVIDIA" in line


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "generate", "baselines"])
def test_an_empty_folder_such_as_an_unset_variable_leaves(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = mistake(capsys, command, "--workdir=")
    assert "argument --workdir: is empty; give a path" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "--workdir=~nosuchuser/x"], "no home folder is known for ~nosuchuser"),
        (["predict", "--file=~nosuchuser/x"], "no home folder is known for ~nosuchuser"),
        (["inspect", "~nosuchuser/x"], "DATA: ~nosuchuser/x: no home folder is known"),
        (["inspect", ""], "DATA: is empty; give a path"),
        (["inspect", "gs://bucket/a.csv"], "gs://bucket/a.csv is an address"),
    ],
)
def test_a_path_that_is_none(words: list[str], message: str, capsys: Any) -> None:
    assert message in mistake(capsys, *words)


def test_a_long_value_is_cut_and_the_advice_stays(capsys: Any) -> None:
    line = mistake(capsys, "predict", f"--checkpoint={'long' * 30_000}")
    assert len(line) < 2_000
    assert line.startswith("error: argument --checkpoint: invalid choice: 'long")
    assert line.endswith("--help` shows an example")


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://bucket/run", "https://example.org/a"])
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "report"])
def test_an_address_is_no_folder(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [address] if command == "report" else [f"--workdir={address}"]
    line = mistake(capsys, command, *named)
    assert f"{address} is an address" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gs:", "a:/b"])
def test_a_name_that_orbax_takes_for_an_address(
    capsys: Any, tmp_path: Path, good_file: Path, name: str
) -> None:
    folder = tmp_path / name
    arguments = train_arguments(folder, train_path=good_file)
    assert "ends in a colon" in mistake(capsys, *arguments)
    assert list(tmp_path.iterdir()) == [good_file]
    (folder / "best" / "3").mkdir(parents=True)
    assert "ends in a colon" in mistake(capsys, "predict", f"--workdir={folder}", "a text")


def test_an_implementation_that_cannot_run_is_told_before_any_text_is_read(
    capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    start = train_arguments(tmp_path, train_path=good_file)
    line = mistake(capsys, *start, "--config.model.implementation=cudnn")
    assert "implementation='cudnn' cannot run here" in line
    assert list(tmp_path.iterdir()) == [good_file]


def test_output_that_cannot_be_written(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, good_file: Path
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fields, "load_config", fail)
    line = mistake(capsys, "fields")
    assert line == "error: the output: No space left on device; --debug shows where it happened"
    with pytest.raises(OSError, match="No space left"):
        main(["fields", "--debug"])


def test_a_system_error_without_words_of_the_system(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError("what a library says")

    monkeypatch.setattr(fields, "load_config", fail)
    assert "the output: what a library says;" in mistake(capsys, "fields")
