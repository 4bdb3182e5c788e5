"""Mistakes in files of texts: reported together, with file and line."""

import csv
import os

import pytest

from lstm_flax.data.loading import extra_fingerprint, load_examples
from lstm_flax.errors import UserError
from tests.data.text_files import config_of, write

GOOD = '{"text": "a", "label": 1}\n{"text": "b", "label": "2"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", GOOD + "{not json}\n", r"a\.jsonl:3: not JSON"),
        ("a.jsonl", GOOD + "[1, 2]\n", r"a\.jsonl:3: not a JSON object"),
        (
            "a.jsonl",
            GOOD + '{"text": "a"}\n',
            r"a\.jsonl:3: no column 'label', only 'text'.*label_column",
        ),
        ("a.jsonl", GOOD + '{"text": null, "label": 1}\n', r"a\.jsonl:3: 'text' is null"),
        (
            "a.jsonl",
            GOOD + '{"text": "c", "label": 0.5}\n',
            r"a\.jsonl: the labels in 'label' are 3 different numbers, 0\.5, 1, 2: .*regression",
        ),
        ("a.jsonl", GOOD + '{"text": "c", "label": NaN}\n', r"a\.jsonl:3: label 'label' is NaN"),
        ("a.jsonl", GOOD + '{"text": "c", "label": null}\n', r"a\.jsonl:3: label 'label' is null"),
        ("a.jsonl", GOOD + '{"text": " \\n", "label": 1}\n', r"a\.jsonl:3: the text is empty"),
        ("a.jsonl", GOOD + '{"text": "<br />", "label": 1}\n', r"a\.jsonl:3: the text is empty"),
        ("a.jsonl", GOOD + '{"text": "c", "label": ""}\n', r"a\.jsonl:3: the label is empty"),
        (
            "a.jsonl",
            GOOD.encode() + b'\n{"text": "\xe9", "label": 1}',
            r"a\.jsonl:4: not UTF-8 \(byte 0xe9",
        ),
        ("a.jsonl", "", r"a\.jsonl: no examples"),
        ("a.csv", "", r"a\.csv: no examples"),
        ("a.csv", "text,label\n", r"a\.csv: no examples"),
        (
            "a.csv",
            "words,label\na,b\n",
            r"a\.csv:1: no column 'text', only 'words', 'label'.*text_column",
        ),
        ("a.csv", "text,label\na,x\nb\n", r"a\.csv:3: 1 column, the header has 2; fill in"),
        ("a.csv", "text,label\na,x\nb,c,y\n", r"a\.csv:3: 3 columns"),
        ("a.csv", 'text,label\na,x\n"b,y\n', r"a\.csv:3: not CSV"),
        ("a.csv", b"text,label\na,x\n\xff,y\n", r"a\.csv:3: not UTF-8"),
        ("a.csv", "text,label\na,x\nb,x\n", r"a\.csv: every label is 'x'"),
        ("a.tsv", "text\tlabel\na\tx\nb\n", r"a\.tsv:3: 1 column,"),
        ("a.xlsx", "zip", r"a\.xlsx: a spreadsheet; save the sheet as CSV"),
        ("a.dat", "text,label\na,x\n", r"a\.dat: cannot tell the format"),
        ("a.json", '{"text": {"0": "a"}}', r"a\.json: not an array of objects"),
        ("a.json", '[{"text": "a", "label": 1}, 2]', r"a\.json: item 2: not a JSON object"),
        ("a.csv.gz", "text,label\na,x\n", r"a\.csv\.gz: cannot be read \(Not a gzipped file"),
        ("a.parquet", "PAR1", r"a\.parquet: cannot be read as Parquet"),
    ],
)
def test_every_mistake_names_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        load_examples(config_of(path), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\n,x\nb\nc,\n" + "d,x,y\n" * 9 + "good,x\n",
            "a.csv:2: the text is empty; fill it in or remove the example; wrong too: "
            "a.csv:3: 1 column, the header has 2; a.csv:4: the label is empty; "
            "a.csv:5: 3 columns, the header has 2; a.csv:6: 3 columns, the header has 2; "
            "a.csv:7: 3 columns, the header has 2 and 6 more",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n[]\n{"text": 2, "label": 1}\n',
            "a.jsonl:2: not a JSON object; write one object a line; wrong too: "
            "a.jsonl:3: 'text' is 2, not a string",
        ),
        (
            "a.csv",
            'text,label\n,x\nb,y\n"c,x\n',
            "a.csv:2: the text is empty; fill it in or remove the example; wrong too: "
            "a.csv:4: not CSV (unexpected end of data)",
        ),
        (
            "a.jsonl",
            GOOD + '{"text": "<br>", "label": 1}\n{"text": "<br />", "label": 2}\n',
            "a.jsonl:3: the text is empty; fill it in or remove the example; empty too: a.jsonl:4",
        ),
    ],
)
def test_all_mistakes_in_rows_are_reported_at_once(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        load_examples(config_of(name), "train")
    assert str(caught.value) == message


def test_parquet_values_that_python_cannot_hold(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts, labels = pyarrow.array(["fine", "dull"]), pyarrow.array(["pos", "neg"])
    bytes_ = pyarrow.array([b"fine", b"\xff\xfe"], pyarrow.binary())
    odd = {
        "when": pyarrow.array([2**62, -(2**62)]).cast(pyarrow.timestamp("us")),
        "day": pyarrow.array([2**30, 1], pyarrow.int32()).cast(pyarrow.date32()),
        "note": bytes_.view(pyarrow.string()),
    }
    for name, column in odd.items():
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(pyarrow.table({"text": texts, "label": labels, name: column}), path)
        with pytest.raises(UserError, match=rf"{name}\.parquet: cannot be read as Parquet"):
            load_examples(config_of(path), "train")


def test_a_quoted_tsv_field_that_cannot_be_parsed_is_one_mistake(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b'text\tlabel\na\rb\t"open\nrest"\nfine\tx\n' + b"dull\ty\n")
    with pytest.raises(UserError, match=r"a\.tsv:3: 1 column, the header has 2"):
        load_examples(config_of(path), "train")
    limit = csv.field_size_limit(100)
    try:
        path.write_text(f'text\tlabel\n{"a" * 50}\t"open\n{"b" * 200}"\nfine\tx\n')
        with pytest.raises(UserError, match=r"a\.tsv:3: 1 column, the header has 2"):
            load_examples(config_of(path), "train")
    finally:
        csv.field_size_limit(limit)


def test_pipes_and_broken_links_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"a\.csv: a pipe, socket or device"):
        load_examples(config_of(tmp_path / "a.csv"), "train")
    good = write(tmp_path / "good.csv")
    with pytest.raises(UserError, match=r"a\.csv: a pipe, socket or device"):
        load_examples(config_of(good, extra_train_path=str(tmp_path / "a.csv")), "train")
    with pytest.raises(UserError, match=r"a\.csv: a pipe, socket or device"):
        extra_fingerprint(config_of(good, extra_train_path=str(tmp_path / "a.csv")))
    for label in ("neg", "pos"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        (tmp_path / "texts" / label / "1.txt").write_text(f"a {label} film")
    os.mkfifo(tmp_path / "texts" / "pos" / "2.txt")
    with pytest.raises(UserError, match=r"2\.txt: a broken link, pipe or device"):
        load_examples(config_of(tmp_path / "texts"), "train")
    (tmp_path / "texts" / "pos" / "2.txt").unlink()
    (tmp_path / "texts" / "pos" / "2.txt").symlink_to("gone.txt")
    with pytest.raises(UserError, match=r"2\.txt: a broken link, pipe or device"):
        load_examples(config_of(tmp_path / "texts"), "train")


def test_all_files_of_a_folder_that_cannot_be_read_are_reported_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "x/1.txt": b"fine",
        "x/2.txt": b"",
        "y/3.txt": b"\xff",
        "y/4.txt": b" ",
    }.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        load_examples(config_of("texts"), "train")
    assert str(caught.value) == (
        "texts/x/2.txt: the text is empty; fill it in or remove the example; wrong too: "
        "texts/y/3.txt:1: not UTF-8 (byte 0xff at column 1); texts/y/4.txt: the text is empty"
    )
