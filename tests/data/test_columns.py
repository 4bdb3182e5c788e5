"""Columns of texts and labels are found, or the candidates named."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lstm_flax.config import DataConfig
from lstm_flax.data.loading import load_examples
from lstm_flax.data.sources.rows import find_columns_of, read_rows
from lstm_flax.errors import UserError

MOODS = ("bad", "good")
ROWS = [(f'scene {i}: a "film" with words,\nand; {MOODS[i % 2]}', MOODS[i % 2]) for i in range(300)]


def delimited(header: str, fields: Sequence[int], separator: str = ",") -> bytes:
    """A table of 300 rows; fields: 0 the text, 1 the label, 2 a number, 3 a link, 4 nothing."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(header.split("|"))
    for i, (text, label) in enumerate(ROWS):
        row = (text, label, i, f"https://films.example/{i}", "")
        writer.writerow([row[field] for field in fields])
    return file.getvalue().encode()


SHAPES = {
    "semicolons": ("a.csv", delimited("review|sentiment", (0, 1), ";")),
    "byte-order mark": ("a.csv", b"\xef\xbb\xbf" + delimited("text|label", (0, 1))),
    "line breaks in quotes": ("a.csv", delimited("Comment|Class", (0, 1))),
    "label first": ("a.csv", delimited("mood|body", (1, 0))),
    "more columns": ("a.csv", delimited("id|link|airline_sentiment|Tweet|x", (2, 3, 1, 0, 4))),
    "strange names": ("a.csv", delimited("v1|v2||", (1, 0, 4, 4))),
    "tabs": ("a.tsv", delimited("v1\u2028|v2", (1, 0), "\t")),
    "compressed": ("a.csv.gz", gzip.compress(delimited("Review Text|stars", (0, 1)))),
    "array": ("a.json", json.dumps([{"q": text, "y": label} for text, label in ROWS]).encode()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_tables_of_many_shapes_need_no_flag(shape: str, tmp_path: Path) -> None:
    name, content = SHAPES[shape]
    (tmp_path / name).write_bytes(content)
    columns = find_columns_of(tmp_path / name)
    rows = [(row.text, row.label) for row in read_rows(tmp_path / name, *columns)]
    # The csv module writes line ends of Windows and leaves those in texts as they are.
    assert rows == ROWS


def test_parquet_needs_no_flag(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts, labels = zip(*ROWS, strict=True)
    frame = arrow.table(
        {"n": range(300), "text": texts, "label": [labels.index(v) for v in labels]}
    )
    parquet.write_table(frame, tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet", *find_columns_of(tmp_path / "a.parquet")))
    assert [row.text for row in rows] == list(texts)
    assert {row.label for row in rows} == {"0", "1"}
    assert rows[0].id.endswith("a.parquet: row 1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            delimited("title|headline|class", (0, 0, 1)),
            "'title', 'headline' could each hold the texts; set --config.data.text_column=NAME",
        ),
        (
            delimited("text|a|b", (0, 1, 1)),
            "'a', 'b' could each hold the labels; set --config.data.label_column=NAME",
        ),
        (delimited("text|id", (0, 2)), "cannot tell which column holds the labels"),
        (delimited("id|label", (2, 1)), "cannot tell which column holds the texts"),
        (b"a moving film,good\na dull one,bad\nsplendid indeed,good\n", "looks like an example"),
        (b"text,label\n", "no examples; it is empty"),
        (b"", "no examples; it is empty"),
    ],
    ids=["texts", "labels", "no labels", "no texts", "no header", "no rows", "nothing"],
)
def test_what_could_be_meant_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        find_columns_of(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_what_is_named_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(delimited("title|headline|a|b", (0, 0, 1, 1)))
    assert find_columns_of(tmp_path / "a.csv", text="headline", label="b") == ("headline", "b")
    with pytest.raises(UserError, match="could each hold the labels"):
        find_columns_of(tmp_path / "a.csv", text="headline")


@pytest.mark.parametrize("step", [0.25, 7])
def test_many_different_numbers_are_regression(step: float, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"text number {i},{i % 40 * step}\n" for i in range(400))
    path.write_text("text,price\n" + rows)
    columns = find_columns_of(path)
    assert columns == ("text", "price")
    config = DataConfig(source="files", train_path=str(path), label_column="price")
    with pytest.raises(UserError, match=r"'price' are 40 different numbers.*regression"):
        load_examples(config, "train")
    path.write_text("text,price\n" + "".join(f"text {i},{i % 40}\n" for i in range(400)))
    assert len(load_examples(config, "train").label_names) == 40


LONG = {"text": "a text", "label": "x" * 1_001}


def test_labels_that_a_checkpoint_could_not_hold_are_refused(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": f"{i % 1_200} " + "long " * 190} for i in range(2_400)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = DataConfig(source="files", train_path=str(path))
    with pytest.raises(UserError, match=r"1,200 different labels in 'label' have 1,14\d,\d{3} "):
        load_examples(config, "train")
    path.write_text("".join(json.dumps(row) + "\n" for row in (*rows[:9], LONG)))
    with pytest.raises(UserError, match=r"a label in 'label' has 1,001 characters, more than 1,00"):
        load_examples(config, "train")
