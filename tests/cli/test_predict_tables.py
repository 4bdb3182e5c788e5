"""Tables in, tables out: every column, order and number of rows; and what is no half file."""

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lstm_flax.cli import main
from lstm_flax.inference.prediction import Prediction
from lstm_flax.inference.predictor import Predictor
from tests.cli.mistake_cases import mistake
from tests.cli.test_predict_lines import Echo


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    """The command answers without a model: the label of a text is its length."""
    answers = Echo()
    monkeypatch.setattr(Predictor, "from_checkpoint", lambda *_, **__: answers)
    monkeypatch.setattr(Echo, "predict", _predict)
    return answers


def _predict(self: Echo, texts: Sequence[str]) -> list[Prediction]:
    self.sizes.append(len(texts))
    return [
        Prediction(
            text=text,
            label=str(len(text)),
            probabilities={str(len(text)): 0.5},
            unknown=float("???" in text),
            truncated=len(text) > 50,
        )
        for text in texts
    ]


def predict(*words: object) -> int:
    return main(["predict", "--workdir=run", *map(str, words)])


def rows_of(path: Path, separator: str = ",") -> list[dict[str, str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=separator))


def test_every_column_is_kept_and_three_are_added(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        'id;body;label;\n 007 ;"a ""fine"" film;\nreally";pos;x\n2;;neg;\n;;;\n'
        f"4;{'long ' * 20};pos;\n5;so ???;neg;\n"
    )
    output = tmp_path / "out.csv"
    assert predict(f"--file={table}", "--text_column=body", f"--output={output}") == 2
    rows = rows_of(output, ";")
    assert [row["id"] for row in rows] == [" 007 ", "2", "", "4", "5"]
    assert rows[0]["body"] == 'a "fine" film;\nreally'
    assert [row["label"] for row in rows] == ["pos", "neg", "", "pos", "neg"]
    assert [row["predicted_label"] for row in rows] == ["21", "", "", "100", "6"]
    assert rows[0]["predicted_probability"] == "0.5"
    assert [row["predicted_warning"] for row in rows] == [
        "",
        "the text is empty",
        "",
        "the text is longer than the model reads",
        "100% of the text is unknown to the model",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "t.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".jsonl", ".parquet"])
def test_any_table_in_any_table_out(suffix: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [f"text {'x' * (i % 9)}" for i in range(11_000)]
    frame = arrow.table(
        {
            "when": arrow.array(range(11_000), arrow.timestamp("ms")),
            "n": arrow.array([None, *range(10_999)], arrow.int32()),
            "review": texts,
        }
    )
    parquet.write_table(frame, tmp_path / "in.parquet")
    output = tmp_path / f"out{suffix}"
    assert predict(f"--file={tmp_path / 'in.parquet'}", f"--output={output}") == 0
    if suffix == ".parquet":
        back = parquet.read_table(output)
        assert back.schema.names == ["when", "n", "review", "label", "probability", "warning"]
        assert back.select(["when", "n", "review"]).equals(frame)
        assert back["label"].to_pylist() == [str(len(text)) for text in texts]
        return
    if suffix == ".jsonl":
        records: list[Any] = [json.loads(line) for line in output.read_text().splitlines()]
        assert records[0]["n"] is None
        assert records[1]["n"] == 0
    else:
        records = rows_of(output, "\t" if suffix == ".tsv" else ",")
        assert records[0]["n"] == ""
    assert [record["review"] for record in records] == texts
    assert [record["label"] for record in records] == [str(len(text)) for text in texts]
    # And what was written is read again, its own columns beside the new ones.
    again = tmp_path / "again.parquet"
    assert predict(f"--file={output}", f"--output={again}") == 0
    assert parquet.read_table(again)["predicted_label"].to_pylist() == [
        str(len(text)) for text in texts
    ]


def test_objects_with_different_names_make_one_table(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text(
        '{"text": "a film", "tags": ["x", 1]}\n{"stars": 2.5, "text": "b"}\n'
        '{"stars": 1}\n{"text": 3}\n'
    )
    output = tmp_path / "out.csv"
    assert predict(f"--file={table}", f"--output={output}") == 2
    rows = rows_of(output)
    assert [row["label"] for row in rows] == ["6", "1", "", ""]
    assert [row["tags"] for row in rows] == ['["x", 1]', "", "", ""]
    assert [row["stars"] for row in rows] == ["", "2.5", "1", ""]
    assert rows[2]["warning"] == "no column 'text'"
    assert rows[3]["warning"] == "'text' is 3, not a string"


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".parquet"])
def test_a_lone_surrogate_is_written_escaped(suffix: str, tmp_path: Path) -> None:
    table, output = tmp_path / "t.jsonl", tmp_path / f"out{suffix}"
    table.write_text('{"text": "a \\ud800film", "\\udfff": "\\udc00"}\n{"text": "dull"}\n')
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    assert predict(f"--file={table}", f"--output={output}") == 0
    if suffix == ".jsonl":
        first, second = map(json.loads, output.read_text("utf-8").splitlines())
        assert (first["text"], first["\udfff"]) == ("a \ud800film", "\udc00")
    else:
        if suffix == ".parquet":
            first, second = pytest.importorskip("pyarrow.parquet").read_table(output).to_pylist()
        else:
            first, second = rows_of(output)
        assert (first["text"], first[r"\udfff"]) == (r"a \ud800film", r"\udc00")
    assert (first["label"], second["label"]) == ("7", "4")


def test_plain_lines_are_written_as_a_table_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine, really\n \ncaf\xe9\nlast\n")
    output = tmp_path / "out.csv"
    assert predict(f"--file={tmp_path / 'a.txt'}", f"--output={output}") == 2
    rows = rows_of(output)
    assert [row["label"] for row in rows] == ["12", "", "", "4"]
    assert rows[1]["warning"] == "line 2 is empty; leave it out"


def test_a_number_that_parquet_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.jsonl").write_text(f'{{"text": "a film", "n": {"9" * 4_000}}}\n')
    words = (f"--file={tmp_path / 't.jsonl'}", f"--output={tmp_path / 'out.parquet'}")
    assert "out.parquet: Parquet cannot hold" in mistake(capsys, "predict", "--workdir=run", *words)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RuntimeError])
@pytest.mark.parametrize("suffix", [".csv.gz", ".jsonl", ".parquet"])
def test_halfway_there_is_no_half_file(
    error: type[BaseException], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_late(self: Echo, texts: Sequence[str]) -> list[Prediction]:
        if len(self.sizes) == 1:
            raise error("halfway")
        return _predict(self, texts)

    monkeypatch.setattr(Echo, "predict", fail_late)
    table = tmp_path / "t.csv"
    table.write_text("text\n" + "a film\n" * 9_000)
    output = tmp_path / f"out{suffix}"
    output.write_text("what was there before")
    if error is RuntimeError:
        with pytest.raises(RuntimeError):
            predict(f"--file={table}", f"--output={output}")
    else:
        assert predict(f"--file={table}", f"--output={output}") == {OSError: 2}.get(error, 130)
    assert output.read_text() == "what was there before"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"id,Review\n1,a film\n2,dull\n", ["6", "4"]),
        (b"id;user name;review text\n1;u;a film\n", ["6"]),
        (b'\xef\xbb\xbfbody\tsentiment\n"a\nfilm"\tpos\n', ["6"]),
        (b'{"text": "a film"}\n\n{"text": "dull"}\n', ["6", "4"]),
        (b"Review, please\ndull\n", ["14", "4"]),
        (b"{braces} are text\ndull\n", ["17", "4"]),
        (b"", []),
    ],
    ids=["csv", "compound", "tsv", "jsonl", "prose", "braces", "nothing"],
)
def test_a_table_on_standard_input_is_seen(
    content: bytes,
    labels: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / "in").write_bytes(content)
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert predict() == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == labels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--file=t.csv", "--text_column=body"], "t.csv:1: no column 'body', of 'text', 'a'; set"),
        (
            ["--file=w.csv"],
            "w.csv: 'title', 'headline' could each hold the texts; set --text_column",
        ),
        (["--file=bad.csv"], "bad.csv:3: 3 columns, the header has 2"),
        (["--file=t.xlsx"], "t.xlsx: a spreadsheet; save the sheet as CSV"),
        (["--file=gone.csv"], "gone.csv: No such file"),
        (["--file=t.csv", "--output=out.xlsx"], "out.xlsx: must end in .csv, .tsv, .jsonl"),
        (["--file=t.csv", "--output=no/out.csv"], "no/out.csv: there is no folder no"),
        (["--text_column=text", "a film"], "--text_column: names a column of a table"),
        (["--file=pipe.csv"], "pipe.csv: is a folder, pipe or device; name a plain file"),
        (["--file=/proc/self/mem"], "/proc/self/mem: Input/output error"),
        (["--file=/proc/self/mem", "--output=out.csv"], "/proc/self/mem: Input/output error"),
        (["--file=deep.jsonl"], "deep.jsonl:2: lists or objects nested too deeply"),
        (["--file=deep.json"], "deep.json: item 1: lists or objects nested too deeply"),
        (["--file=one.json"], "one.json: lists or objects nested too deeply"),
    ],
)
def test_mistakes(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("text,a\na film,1\n")
    Path("w.csv").write_text("title,headline\na film,so dull\nso fine,a film\nbad one,well\n")
    Path("bad.csv").write_text("text,a\na film,1\na,b,c\n")
    Path("t.xlsx").write_text("zip")
    os.mkfifo("pipe.csv")
    deep = f'{{"text": "a film", "a": {"[" * 900}{"]" * 900}}}'
    Path("deep.jsonl").write_text(f'{{"text": "dull", "a": [[1]]}}\n{deep}\n')
    Path("deep.json").write_text(f"[{deep}]")
    Path("one.json").write_text(deep)
    assert message in mistake(capsys, "predict", "--workdir=run", *words)
