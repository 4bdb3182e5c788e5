import json
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.cli import main
from lstm_flax.data.audit import describe_split, find_doubts
from lstm_flax.data.examples import Examples
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import UNKNOWN_ID
from tests.conftest import templated_texts, write_jsonl


def test_figures_of_a_split_equal_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 90, 50)
    sequences = [rng.integers(1, 20, n).astype(np.int32) for n in lengths]
    labels = rng.integers(-1, 3, 50).astype(np.int32)
    texts = [f"text {n % 40}" for n in range(50)]
    split = TokenizedSplit.from_sequences(sequences, labels)
    figures = describe_split(split, texts, ("a", "b", "c"), max_length=30)
    assert figures.examples == 50
    assert figures.label_counts == {name: int((labels == i).sum()) for i, name in enumerate("abc")}
    assert figures.length_quantiles[0] == lengths.min()
    assert figures.length_quantiles[3] == lengths.max()
    assert figures.length_quantiles[1] == np.sort(lengths)[24]
    assert sum(figures.length_histogram.values()) == 50
    assert figures.length_histogram[32] == int(((lengths > 16) & (lengths <= 32)).sum())
    tokens = np.concatenate(sequences)
    assert figures.unknown_rate == np.mean(tokens == UNKNOWN_ID)
    assert figures.cut_texts == np.mean(lengths > 30)
    assert figures.cut_tokens == np.maximum(lengths - 30, 0).sum() / len(tokens)
    assert figures.duplicates == 10


def split_of(names: tuple[str, ...], *rows: tuple[str, int]) -> Examples:
    labels = np.array([label for _, label in rows], np.int32)
    return Examples([text for text, _ in rows], labels, [str(i) for i in range(len(rows))], names)


def test_nothing_is_doubted_of_sound_labels() -> None:
    names = ("bad", "good")
    train = split_of(names, ("a", 0), ("a", 0), ("b", 1), ("c", 1))
    splits = {"train": train, "test": split_of(names, ("a", 0), ("d", 1))}
    splits["unsupervised"] = split_of(names, ("a", -1), ("b", -1))
    assert find_doubts(splits) == []


def test_labels_that_look_mistaken_are_named() -> None:
    names = ("Happy ", "happy", "hapy", "sad")
    long = "Fine film " * 9
    train = split_of(names, (long, 1), ("x", 1), ("y", 0), ("z", 2), ("v", 3), ("w", 3))
    splits = {"train": train, "test": split_of(names, (long.upper(), 3), ("X", 0), ("u", 0))}
    single, absent, spelling, equal = find_doubts(splits)
    assert "labels of one text alone: 'hapy';" in single
    assert "labels of no test text: 'happy', 'hapy'; they are not scored there" in absent
    assert "the labels 'Happy ', 'happy' differ only by case, space or Unicode form" in spelling
    assert "equal texts have different labels (2)" in equal
    assert f"such as {long[:60] + '...'!r}: 'happy', 'sad'" in equal


def test_inspect_prints_its_doubts_and_names_max_length(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    records = [*templated_texts(60, seed=3), {"text": "a superb film", "label": "Pos"}]
    path = write_jsonl(tmp_path / "texts.jsonl", records)
    arguments = ["--config=imdb", "--config.data.source=files", f"--config.data.train_path={path}"]
    arguments += [f"--config.data.cache_dir={tmp_path}", "--config.data.max_length=30"]
    arguments += ["--config.tokenizer.kind=word", "--config.tokenizer.vocab_size=40"]
    arguments += [f"--config.data.test_path={path}", "--config.data.development_fraction=0.2"]
    assert main(["inspect", *arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    warnings = json.loads(last)["warnings"]
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {warning}" for warning in warnings
    ]
    assert "the labels 'Pos', 'pos' differ only by case, space or Uni" in " ".join(warnings)
    assert warnings[-1].endswith("texts of test are training texts too: its score is inflated")
    assert any(line.startswith("  max_length 30 cuts ") for line in lines)
