"""Mistakes in texts, labels and files of them: one line that says what, where, what to do."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.mistake_cases import mistake, train_arguments
from tests.conftest import templated_texts, write_jsonl

RECORDS = templated_texts(60, seed=3)


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


def test_texts_that_are_all_the_same_are_reported_with_their_file(
    capsys: Any, tmp_path: Path
) -> None:
    records = [{"text": "good", "label": label} for label in ("neg", "pos") * 30]
    same = write_jsonl(tmp_path / "same.jsonl", records)
    line = mistake(capsys, *train_arguments(tmp_path, train_path=same, development_fraction=0.1))
    assert line.startswith(f"error: {same}: 60 examples")


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
    kind = "--config.tokenizer.kind=unigram"  # of words and characters the size is a limit
    line = mistake(capsys, *arguments, kind, "--config.tokenizer.vocab_size=9000")
    assert "config.tokenizer.vocab_size = 9000" in line
    assert "or fewer" in line


@pytest.mark.parametrize(
    ("name", "content"),
    [
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
    assert f"{path}: " in line
    assert "save it as text" in line
