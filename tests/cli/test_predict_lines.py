"""Lines to records: order, bad lines in their place, and nothing held back."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from lstm_flax.cli import main
from lstm_flax.cli.predicting.lines import chunks_at_hand, predict_lines
from lstm_flax.config import Config
from lstm_flax.inference.prediction import Prediction
from lstm_flax.inference.predictor import Predictor


class Echo:
    """Answers each text by its length, and remembers how many came together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.trained = SimpleNamespace(metadata=SimpleNamespace(config=Config()))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        self.sizes.append(len(texts))
        return [
            Prediction(
                text=text,
                label=str(len(text)),
                probabilities={"x": 1.0},
                unknown=text.count("?") / len(text),
                truncated=False,
            )
            for text in texts
        ]


def test_order_is_kept_and_bad_lines_stay_in_their_place() -> None:
    lines = [b"text %d\n" % i for i in range(3000)]
    lines[0], lines[1500], lines[2999] = b" \r\n", b"caf\xe9\n", b"last, without an end"
    records = [record for group in predict_lines(Echo(), lines) for record in group]
    assert [record["text"] for record in records] == [
        " ",
        *(f"text {i}" for i in range(1, 1500)),
        "caf\N{REPLACEMENT CHARACTER}",
        *(f"text {i}" for i in range(1501, 2999)),
        "last, without an end",
    ]
    errors = {i: record["error"] for i, record in enumerate(records) if "error" in record}
    assert errors == {
        0: "line 1 is empty; leave it out",
        1500: "line 1501 is not UTF-8 (byte 3); save it as UTF-8",
    }
    assert records[7] == {"text": "text 7", "label": "6", "probabilities": {"x": 1.0}}


def test_a_line_with_a_nul_byte_is_no_text() -> None:
    ((record,),) = predict_lines(Echo(), [b"fi\0ne\n"])
    assert record["error"] == "line 1 holds a NUL byte; give plain text in UTF-8"


def test_the_answer_for_a_mostly_unknown_text_has_a_warning() -> None:
    (records,) = predict_lines(Echo(), [b"so?\n", b"so??\n", b"???s"])
    warnings = [record.get("warning") for record in records]
    assert warnings == [None, None, "75% of the text is unknown to the model"]
    assert records[2]["label"] == "4"


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command answers without a model."""
    monkeypatch.setattr(Predictor, "from_checkpoint", lambda *_, **__: Echo())


@pytest.mark.usefixtures("echo")
def test_arguments_are_called_texts_not_lines(capsys: pytest.CaptureFixture) -> None:
    assert main(["predict", "--workdir=run", "fine", " "]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["label"] == "4"
    assert second["error"] == "text 2 is empty; leave it out"


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize("flags", [[], ["--file=-"]])
def test_standard_input_may_be_named(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "texts"
    path.write_text("fine\ndull film\n", encoding="utf-8")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["predict", "--workdir=run", *flags]) == 0
    records = map(json.loads, capsys.readouterr().out.splitlines())
    assert [record["label"] for record in records] == ["4", "9"]


def test_a_line_that_comes_alone_is_answered_before_the_next() -> None:
    asked = threading.Semaphore(0)

    def slow() -> Iterator[bytes]:
        for i in range(5):
            assert asked.acquire(timeout=60)  # the next line comes only once this one is answered
            yield b"line %d" % i

    answered = []
    groups = predict_lines(Echo(), slow())
    for _ in range(5):
        asked.release()
        answered += next(groups)
    assert [record["text"] for record in answered] == [f"line {i}" for i in range(5)]
    assert next(groups, None) is None


def test_lines_that_come_fast_are_answered_together() -> None:
    echo = Echo()
    assert sum(len(group) for group in predict_lines(echo, [b"text"] * 5000)) == 5000
    assert max(echo.sizes) <= 4096
    assert len(echo.sizes) < 50


def test_reading_stays_close_to_what_was_answered() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"text"

    next(chunks_at_hand(endless()))
    assert taken <= 4 * 4096


def test_a_failure_to_read_comes_after_what_was_read() -> None:
    def broken() -> Iterator[bytes]:
        yield b"whole"
        raise OSError("the disk is gone")

    groups = predict_lines(Echo(), broken())
    assert next(groups)[0]["text"] == "whole"
    with pytest.raises(OSError, match="the disk is gone"):
        next(groups)
