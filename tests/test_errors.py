"""Every mistake a user can make is one line that says what, where and what to do; status 2."""

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError, one_line
from lstm_flax.training.checkpoint_metadata import Metadata
from lstm_flax.training.checkpoints import CheckpointFolder, find_checkpoints
from lstm_flax.training.progress import RunLog, make_folder, write_text
from tests.conftest import templated_texts, write_jsonl

RECORDS = templated_texts(60, seed=3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no such file\n  or\tfolder \n"), "no such file or folder"),
        (EOFError(), "EOFError"),
        (OSError(" \n "), "OSError"),
        (KeyError("x" * 300), "'" + "x" * 199),
    ],
)
def test_one_line_of_an_exception(error: Exception, expected: str) -> None:
    assert one_line(error) == expected


def mistake(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Runs a command that must fail; its one line on standard error."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    assert status == 2
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return lines[0]


def train_arguments(tmp_path: Path, **data: object) -> list[str]:
    fields = {"source": "files", "cache_dir": tmp_path / "cache"} | data
    flags = [f"--config.data.{name}={value}" for name, value in fields.items()]
    small = ["--config.tokenizer.kind=word", "--config.tokenizer.vocab_size=40"]
    return ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}", *small, *flags]


@pytest.fixture
def good_file(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "good.jsonl", RECORDS)


@pytest.fixture(scope="module")
def run(finished: tuple[Path, dict]) -> Path:
    return finished[0]


def test_unknown_flag_and_unknown_field(capsys: Any, tmp_path: Path) -> None:
    start = ["train", "--config=imdb", f"--workdir={tmp_path / 'run'}"]
    assert "--colour" in mistake(capsys, *start, "--colour=red")
    line = mistake(capsys, *start, "--config.model.hidden=3")
    assert "did you mean config.model.hidden_size?" in line
    assert "needs a value" in mistake(capsys, *start, "--config.model.hidden_size")
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


def test_what_a_run_cannot_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()  # root may write in any folder, but not in a file's place
    (tmp_path / "file").touch()
    for path in (tmp_path / "results.json", tmp_path / "file" / "results.json"):
        with pytest.raises(UserError, match=rf"^{path}: cannot be written \([^\n]*\); give the"):
            write_text(path, "{}")
        with pytest.raises(UserError, match=rf"^{path}: cannot be written \([^\n]*\); give the"):
            RunLog(path, 0)
    with pytest.raises(UserError, match="file/run: cannot be made the folder of a run"):
        make_folder(tmp_path / "file" / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "file"}


def test_a_log_on_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = RunLog(tmp_path / "log.jsonl", 0)
    log.close()
    monkeypatch.setattr(log, "_file", SimpleNamespace(write=write))
    with pytest.raises(UserError, match=r"No space.*make room"):
        log.write("train", 1)


def test_own_texts_given_in_the_wrong_place(
    capsys: Any, tmp_path: Path, good_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = f"--workdir={tmp_path / 'run'}"
    right = "--config.data.source=files --config.data.train_path="
    line = mistake(capsys, "train", "--config=good.jsonl", work)
    assert f"own texts: --config=sentences {right}good.jsonl" in line
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


def test_no_network_for_imdb(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "")
    arguments = train_arguments(tmp_path, source="imdb_reviews", data_dir=tmp_path / "tfds")
    line = mistake(capsys, *arguments)
    assert "cannot download" in line
    assert "--config.data.archive" in line
    assert "--config=quickstart" in line
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "tfds").exists()


def test_damaged_archive(capsys: Any, tmp_path: Path) -> None:
    archive = tmp_path / "aclImdb_v1.tar.gz"
    archive.write_bytes(b"\x1f\x8b" + bytes(1000))
    fields = {"source": "imdb_reviews", "data_dir": tmp_path / "tfds", "archive": archive}
    line = mistake(capsys, *train_arguments(tmp_path, **fields))
    assert str(archive) in line
    assert "damaged" in line
    assert not (tmp_path / "tfds").exists()


def test_missing_file_column_and_label(capsys: Any, tmp_path: Path, good_file: Path) -> None:
    gone = tmp_path / "gone.csv"
    assert str(gone) in mistake(capsys, *train_arguments(tmp_path, train_path=gone))
    arguments = train_arguments(tmp_path, train_path=good_file, text_column="body")
    line = mistake(capsys, *arguments)
    assert "no column 'body', only 'text', 'label'" in line
    arguments = train_arguments(tmp_path, train_path=good_file, text_column="a", label_column="b")
    line = mistake(capsys, *arguments)
    assert "no column 'a' or 'b'" in line
    assert "--config.data.text_column=NAME and --config.data.label_column=NAME" in line
    table = tmp_path / "table.csv"
    table.write_text("text,label\nfine,pos\ndull,neg\nodd,\n", encoding="utf-8")
    line = mistake(capsys, *train_arguments(tmp_path, train_path=table))
    assert "table.csv:4" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"text": "fine", "label": "pos"}\n{"text": "caf\xe9", "label": "neg"}\n', "UTF-8"),
        (b'{"text": "fine", "label": "pos"}\n{"text": "dull", label: neg}\n', "JSON"),
    ],
)
def test_a_line_that_is_not_utf8_or_not_json(
    content: bytes, expected: str, capsys: Any, tmp_path: Path
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    line = mistake(capsys, *train_arguments(tmp_path, train_path=path))
    assert expected in line
    assert "broken.jsonl:2" in line


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], "empty"),
        ([{"text": f"film {n}", "label": "pos"} for n in range(9)], "two labels"),
        ([*RECORDS, {"text": "  ", "label": "pos"}], "empty"),
    ],
)
def test_empty_data_one_class_empty_text(
    records: list, expected: str, capsys: Any, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "texts.jsonl", records)
    line = mistake(capsys, *train_arguments(tmp_path, train_path=path))
    assert expected in line
    assert "texts.jsonl" in line
    assert not (tmp_path / "run").exists()


def test_a_label_that_only_the_test_part_has_is_found_before_training(
    capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    odd = [*RECORDS[:4], {"text": "a film", "label": "odd"}]
    paths = {"train_path": good_file, "test_path": write_jsonl(tmp_path / "test.jsonl", odd)}
    line = mistake(capsys, *train_arguments(tmp_path, **paths))
    assert "test.jsonl:5: label 'odd' is not in the training part, which has 'neg', 'pos'" in line
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_larger_than_the_data_supports(
    capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    arguments = train_arguments(tmp_path, train_path=good_file)
    line = mistake(capsys, *arguments, "--config.tokenizer.vocab_size=9000")
    assert "config.tokenizer.vocab_size = 9000" in line
    assert "or fewer" in line


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


def test_a_checkpoint_that_fails_without_a_word(
    capsys: Any, run: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(CheckpointFolder, "metadata", fail)
    line = mistake(capsys, "predict", f"--workdir={run}", "text")
    assert "no whole checkpoint can be read" in line
    assert "cannot be read (ValueError)" in caplog.text


def test_a_checkpoint_of_another_format_version(capsys: Any, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    (path,) = tmp_path.glob("best/*/metadata/metadata")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    line = mistake(capsys, "predict", f"--workdir={tmp_path / 'best'}", "text")
    assert "checkpoint format 99" in line


def test_a_damaged_checkpoint(capsys: Any, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    for chunk in tmp_path.glob("best/*/averaged_params/**/d/*"):
        chunk.write_bytes(bytes(len(chunk.read_bytes())))
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", b"id,body\n1,fine\n"),
        ("mine.TSV", b"id\tbody\n"),
        ("mine.jsonl", b"{}\n"),
        ("mine.txt", "fine\n".encode("utf-16")),
        ("program", b"\x7fELF\0\0\0"),
    ],
)
def test_predict_refuses_files_that_are_not_lines_of_text(
    name: str, content: bytes, capsys: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    line = mistake(capsys, "predict", f"--file={path}", f"--workdir={tmp_path}")
    table = "--file takes plain text, one text a line, no table; save its column of texts alone"
    assert f"{path}: " in line
    assert (table if name.startswith("mine.") and name != "mine.txt" else "save it as text") in line


def test_an_implementation_that_cannot_do_what_is_asked(
    capsys: Any, tmp_path: Path, good_file: Path
) -> None:
    arguments = train_arguments(tmp_path, train_path=good_file)
    line = mistake(capsys, *arguments, "--config.model.implementation=cudnn")
    assert "cudnn" in line
    assert "NVIDIA" in line


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        main(["predict", "--debug", f"--workdir={tmp_path}", "text"])


def test_metadata_survives_the_round_trip(run: Path) -> None:
    (path,) = run.glob("best/*/metadata/metadata")
    metadata = Metadata.from_json(json.loads(path.read_text()), path)
    again = Metadata.from_json(metadata.to_json(), path)
    assert again.config == metadata.config
    assert again.label_names == ("neg", "pos")
    assert again.tokenizer.fingerprint == metadata.tokenizer.fingerprint
