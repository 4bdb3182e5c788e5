"""Tables and folders of texts and labels, as a user has them."""

import csv
import re

import pytest

from lstm_flax.data.loading import load_examples
from lstm_flax.data.sources.rows import read_rows
from lstm_flax.errors import UserError
from tests.data.text_files import ROWS, config_of, write


@pytest.fixture(autouse=True)
def long_fields():
    """The csv module's limit as the command line sets it."""
    before = csv.field_size_limit(2**31 - 1)
    yield
    csv.field_size_limit(before)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_texts_come_back_unharmed(tmp_path, suffix):
    examples = load_examples(config_of(write(tmp_path / f"a{suffix}")), "train")
    assert list(examples.texts) == [text for text, _ in ROWS]
    assert examples.label_names == ("neg", "pos")
    assert examples.labels.tolist() == [1, 0, 1, 0]
    assert [e.label for e in examples] == examples.labels.tolist()


def test_a_field_beyond_the_csv_module_s_limit_is_a_mistake_that_names_its_line(tmp_path):
    path = write(tmp_path / "a.csv")
    csv.field_size_limit(131_072)
    with pytest.raises(
        UserError, match=r"a\.csv:6: .*131072.*csv\.field_size_limit\(2\*\*31 - 1\)"
    ):
        list(read_rows(path, "text", "label"))
    assert csv.field_size_limit() == 131_072


def test_ids_name_the_line_where_the_record_starts(tmp_path):
    path = write(tmp_path / "a.csv")
    assert [row.id.rsplit(":", 1)[1] for row in read_rows(path, "text", "label")] == [
        "2",
        "3",
        "5",
        "6",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_s_separator_is_seen_from_its_header(tmp_path, separator):
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([("stars, or a;b", "text", "label"), *((3, *row) for row in ROWS)])
    rows = list(read_rows(path, "text", "label"))
    assert [(row.text, row.label) for row in rows] == ROWS


def test_a_header_of_other_names_is_still_taken_apart(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("body;mood\nfine, really;good\ndull, dull;bad\n")
    with pytest.raises(
        UserError, match=r"a\.csv:1: no column 'text' or 'label', only 'body', 'mood'; set"
    ):
        load_examples(config_of(path), "train")
    examples = load_examples(config_of(path, text_column="body", label_column="mood"), "train")
    assert list(examples.texts) == ["fine, really", "dull, dull"]


def test_a_table_without_a_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{'a film ' * 30},good\ndull,bad\n")
    with pytest.raises(UserError, match="first line of column names") as caught:
        load_examples(config_of(path), "train")
    assert len(str(caught.value)) < 300


def test_tab_separated_with_and_without_quotes(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(
        b'label\tid\ttext\r\n0\t1\t"He said ""no"""\r\n'
        b'1\t2\t"unbalanced, as most have it\r\n0\t3\tit"s\r\n'
    )
    rows = list(read_rows(path, "text", "label"))
    assert [row.text for row in rows] == ['He said "no"', '"unbalanced, as most have it', 'it"s']
    assert [row.label for row in rows] == ["0", "1", "0"]


def test_columns_by_name_byte_order_mark_and_numeric_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffreview,stars\nfine,10\ndull,2\nok,9\n".encode())
    config = config_of(path, text_column="review", label_column="stars")
    examples = load_examples(config, "train")
    assert examples.label_names == ("2", "9", "10")
    assert examples.labels.tolist() == [2, 0, 1]


def test_folder_per_class(tmp_path):
    for name, text in {"b/2.txt": "two", "a/1.txt": "one\nand", "b/deep/3.md": "three"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "b" / ".hidden").write_text("")
    (tmp_path / "README.md").write_text("not an example")
    examples = load_examples(config_of(tmp_path), "train")
    assert list(examples.texts) == ["one\nand", "two", "three"]
    assert examples.label_names == ("a", "b")


def test_missing_files_are_named_before_anything_is_read(tmp_path):
    train = write(tmp_path / "a.csv")
    for field in ("development_path", "test_path"):
        with pytest.raises(UserError, match=rf"config\.data\.{field} = .*gone\.csv.*no such file"):
            load_examples(config_of(train, **{field: str(tmp_path / "gone.csv")}), "train")
    with pytest.raises(UserError, match=r"train_path = .*no such file"):
        load_examples(config_of(tmp_path / "gone.jsonl"), "train")


def test_label_that_training_lacks(tmp_path):
    train, test = (
        write(tmp_path / "a.csv"),
        write(tmp_path / "b.csv", [("x", "pos"), ("y", "mixed"), ("w", "mixed"), ("z", "so-so")]),
    )
    with pytest.raises(
        UserError,
        match=r"b\.csv:3: label 'mixed' is not in the training part, which has 'neg', 'pos'; .*"
        r"unknown too: .*b\.csv:5: 'so-so'$",
    ):
        load_examples(config_of(train, test_path=str(test)), "test")


def test_test_file_is_read_only_when_asked_for(tmp_path):
    train, test = write(tmp_path / "a.csv"), tmp_path / "b.csv"
    test.write_bytes(b"\xff\xff")
    config = config_of(train, test_path=str(test))
    assert len(load_examples(config, "train")) == 4
    with pytest.raises(UserError, match=r"b\.csv:1: not UTF-8"):
        load_examples(config, "test")


def test_no_such_split(tmp_path):
    train = write(tmp_path / "a.csv")
    with pytest.raises(
        UserError, match=re.escape("no 'development' split; choose train, or cut one off")
    ):
        load_examples(config_of(train), "development")


def test_equal_texts_are_cut_to_one_side(tmp_path):
    rows = [(f"Text number {i % 150} here", "ab"[i % 2]) for i in range(600)]
    config = config_of(write(tmp_path / "a.csv", rows), development_fraction=0.2, test_fraction=0.1)
    parts = [load_examples(config, split) for split in ("train", "development", "test")]
    assert [len(part) for part in parts] == [424, 120, 56]
    texts = [set(part.texts) for part in parts]
    assert sum(map(len, texts)) == len(set().union(*texts)) == 150
    for part in parts:
        assert abs(part.labels.mean() - 0.5) < 0.1


def test_columns_of_a_test_file_are_those_of_the_training_file(tmp_path):
    test = tmp_path / "b.csv"
    test.write_text("body,label\nfine,pos\n")
    config = config_of(write(tmp_path / "a.csv"), test_path=str(test))
    with pytest.raises(UserError, match=r"only 'body', 'label'; name the columns as in the train"):
        load_examples(config, "test")


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,text\na,x,b\n")
    with pytest.raises(UserError, match=r"a\.csv:1: two columns 'text'; rename the one"):
        load_examples(config_of(path), "train")


def test_a_part_of_the_training_examples_leaves_the_others_as_they_are(tmp_path):
    rows = [(f"text {i}", "pos" if i % 4 else "neg") for i in range(80)]
    path = write(tmp_path / "a.csv", rows)
    fractions = {"development_fraction": 0.2, "test_fraction": 0.2}
    whole, few = (
        {
            split: load_examples(config_of(path, train_examples=count, **fractions), split)
            for split in ("train", "development", "test")
        }
        for count in (0, 20)
    )
    assert len(whole["train"]) == 48
    assert sorted(example.label for example in few["train"]) == [0] * 10 + [1] * 10
    assert set(few["train"].texts) <= set(whole["train"].texts)
    for split in ("development", "test"):
        assert list(few[split].texts) == list(whole[split].texts)
    with pytest.raises(UserError, match=r"train_examples = 49: the training part has only 48"):
        load_examples(config_of(path, train_examples=49, **fractions), "train")
