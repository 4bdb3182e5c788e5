"""Files as spreadsheet programs, file managers and notebooks leave them."""

from pathlib import Path

import pytest

from lstm_flax.cli.predicting.lines import open_lines, predict_lines
from lstm_flax.data.sources.rows import read_rows
from lstm_flax.errors import UserError
from tests.cli.test_predict_lines import Echo


def rows(path: Path) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in read_rows(path, "text", "label")]


GOOD = [("fine; film", "pos"), ("dull\nfilm", "neg")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'sep=;\r\ntext;label\r\n"fine; film";pos\r\n"dull\nfilm";neg\r\n'),
        ("a.csv", '\ufeffsep=,\ntext,label\nfine; film,pos\n"dull\nfilm",neg\n'),
        ("a.csv", 'text,label\nfine; film,pos\n"dull\nfilm",neg\n,\n ,\n,\n'),
        ("a.csv", 'text;label\r\n"fine; film";pos\r\n"dull\nfilm";neg\r\n;\r\n;;;\r\n'),
        ("a.tsv", 'text\tlabel\nfine; film\tpos\n"dull\nfilm"\tneg\n\t\n'),
        ("a.tsv", 'label\ttext\r\npos\tfine; film\r\nneg\t"dull\nfilm"\r\n'),
        ("a.tsv", 'id\ttext\tlabel\n1\tfine; film\tpos\n2\t"dull\nfilm"\tneg\n'),
    ],
    ids=["sep", "sep and mark", "empty rows", "wide empty rows", "text first", "last", "middle"],
)
def test_exports_of_spreadsheets(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert rows(tmp_path / name) == GOOD


def test_lines_that_end_in_a_carriage_return_alone(tmp_path: Path) -> None:
    for name, content in {"a.csv": "text,label\rfine,pos\rdull,neg\r"}.items():
        (tmp_path / name).write_bytes(content.encode())
        assert rows(tmp_path / name) == [("fine", "pos"), ("dull", "neg")]
    (tmp_path / "a.txt").write_bytes(b"fine\rdull\r")
    with pytest.raises(UserError, match="carriage return alone"):
        open_lines(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"one line without an end")
    open_lines(tmp_path / "a.txt").close()


def test_an_open_quotation_in_a_plain_table_stays_a_plain_sign(tmp_path: Path) -> None:
    content = 'text\tlabel\n"So he said\tpos\n"Well", a film\tneg\nlast "\tpos\n'
    (tmp_path / "a.tsv").write_text(content)
    expected = [('"So he said', "pos"), ('"Well", a film', "neg"), ('last "', "pos")]
    assert rows(tmp_path / "a.tsv") == expected
    (tmp_path / "a.tsv").write_text('label\ttext\npos\t"So he said\nneg\tdull "\n')
    assert rows(tmp_path / "a.tsv") == [('"So he said', "pos"), ('dull "', "neg")]


def test_a_byte_order_mark_is_no_text() -> None:
    lines = ["\ufefffine\n".encode(), "\ufeffsecond\n".encode()]
    ((first, _),) = predict_lines(Echo(), lines)
    assert first["text"] == "fine"
    ((alone,),) = predict_lines(Echo(), ["\ufeff\n".encode()])
    assert alone["error"] == "line 1 is empty; leave it out"


def test_what_nobody_wrote_is_no_text_of_a_folder(tmp_path: Path) -> None:
    for name in (
        "pos/a.txt",
        "neg/b.txt",
        "pos/.ipynb_checkpoints/a-checkpoint.txt",
        "pos/a.txt~",
        "neg/Thumbs.db",
        "neg/desktop.ini",
        "neg/.b.txt.swp",
        "__MACOSX/pos/a.txt",
        ".git/config",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {Path(name).name}")
    assert rows(tmp_path) == [("text of b.txt", "neg"), ("text of a.txt", "pos")]


def test_a_link_out_of_a_folder_of_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password")
    data = tmp_path / "data"
    for name in ("pos", "neg"):
        (data / name).mkdir(parents=True)
        (data / name / "a.txt").write_text(f"a {name} film")
    (data / "pos" / "b.txt").symlink_to("a.txt")
    assert len(rows(data)) == 3
    (data / "pos" / "c.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"c.txt: a link out of"):
        rows(data)


def test_half_a_surrogate_pair_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "label": "\\ud83d"}\n')
    with pytest.raises(UserError, match=r"a.jsonl:1: the label is no Unicode text"):
        rows(tmp_path / "a.jsonl")
