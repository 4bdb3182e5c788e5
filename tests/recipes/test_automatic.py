"""The automatic recipe: what it chooses from which texts, and what it leaves alone."""

import subprocess
import sys

import pytest

from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.errors import UserError
from lstm_flax.recipes.automatic import choose
from lstm_flax.text.script import has_no_spaces

_ENGLISH = [f"a {word} film number {i}" for i in range(150) for word in ("fine", "dull")]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (_ENGLISH, "word"),
        (["好电影", "坏电影 bad"], "char"),
        (["หนังเรื่องนี้ดีมาก"], "char"),
        (["とても良い映画です"], "char"),
        (["아주 좋은 영화입니다"], "word"),
        (["Очень хороший фильм"], "word"),
        (["123", "!?"], "word"),
    ],
)
def test_words_or_characters_by_script(texts: list[str], kind: str) -> None:
    assert choose(texts, [0] * len(texts)).fields["tokenizer.kind"] == kind
    assert has_no_spaces(texts) == (kind == "char")


def test_fields_make_a_configuration() -> None:
    choice = choose(_ENGLISH, [0, 1] * 150)
    config = load_config(None, [])
    for name, value in choice.fields.items():
        section, _, field = name.partition(".")
        config[section][field] = value
    assert Config.from_config_dict(config).data.max_length == 32
    assert "300 texts of 2 classes" in choice.reason
    assert "\n" not in choice.reason


def test_lengths_come_from_the_99th_percentile() -> None:
    texts = ["word " * 20] * 900 + ["word " * 90] * 95 + ["word " * 5000] * 5
    fields = choose(texts, [0, 1] * 500).fields
    assert fields["data.max_length"] == 96
    assert fields["data.bucket_widths"] == (32, 96)


def test_a_set_field_is_left_alone_and_fitted_to() -> None:
    fields = choose(["word " * 90] * 200, [0, 1] * 100, {"data.max_length": 40}).fields
    assert "data.max_length" not in fields
    assert fields["data.bucket_widths"] == (64,)
    fields = choose(["word " * 90] * 200, [0, 1] * 100, {"data.bucket_widths": (32, 64)}).fields
    assert fields["data.max_length"] == 64
    assert "data.bucket_widths" not in fields
    given = {"training.class_weights": (1.0, 2.0)}
    assert "training.balance_classes" not in choose(_ENGLISH, [0] * 290 + [1] * 10, given).fields


def test_fewer_texts_are_read_more_often() -> None:
    few, many = (choose(_ENGLISH[:2] * n, [0, 1] * n).fields for n in (250, 50_000))
    assert few["training.epochs"] > 3 * many["training.epochs"]
    assert few["data.batch_size"] < many["data.batch_size"]


def test_rare_classes_are_weighted() -> None:
    assert choose(_ENGLISH, [0] * 240 + [1] * 60).fields["training.balance_classes"] is False
    rare = choose(_ENGLISH, ["a"] * 270 + ["b"] * 30)
    assert rare.fields["training.balance_classes"] is True
    assert "the largest has 270 texts and the smallest 30" in rare.reason


def test_n_grams_are_weighed_by_a_regression_for_more_than_two_classes() -> None:
    for classes, kind in ((2, "ratios"), (3, "regression"), (77, "regression")):
        labels = [i % classes for i in range(300)]
        assert choose(_ENGLISH, labels).fields["model.ngram_weights"] == kind


def test_no_text_is_an_error() -> None:
    with pytest.raises(UserError, match="training part is empty"):
        choose([], [])


def test_choosing_needs_no_jax() -> None:
    program = "import sys, lstm_flax.recipes.automatic; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
