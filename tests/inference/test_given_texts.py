"""What `Predictor` is given: columns of any library; and what would be answered wrongly."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from lstm_flax.checkpoints.packed import pack, unpack
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor

TEXTS = ["a superb film", "dull and hollow"]


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        iter,
        np.array,
        lambda texts: np.array(texts, object),
        lambda texts: frame(body=texts, n=[1, 2])["body"],
        lambda texts: frame(body=texts, n=[1, 2]).set_index("n")["body"],
        lambda texts: frame(body=texts)["body"].astype("category"),
    ],
    ids=["tuple", "iterator", "array", "objects", "column", "indexed column", "category"],
)
def test_columns_of_any_kind(make: Callable[[Any], Any], ngram_predictor: Predictor) -> None:
    answers = ngram_predictor.predict(make(TEXTS))
    assert [answer.text for answer in answers] == TEXTS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: frame(body=TEXTS, n=[1, 2]), r"not a DataFrame of 'body', 'n'; write predict\("),
        (lambda: {"text": TEXTS}, "not a dict of 'text'; name the column"),
        (lambda: set(TEXTS), "not set, which has no order"),
        (lambda: b"a film", r"write predict\(\[text\]\)"),
        (lambda: None, "takes a list of texts, not NoneType"),
        (lambda: 3, "takes a list of texts, not int"),
        (lambda: [b"a film"], r"texts\[0\] is bytes, not a string; decode it"),
        (lambda: ["a film", None], r"texts\[1\] is NoneType \(None\), not a string"),
        (lambda: frame(body=["a", np.nan])["body"].astype(object), r"texts\[1\] is float \(nan\)"),
        (lambda: np.array([TEXTS]), "not an array of 2 dimensions"),
        (lambda: np.array([b"a film"]), r"texts\[0\] is bytes_, not a string"),
        (lambda: np.array("a film"), "not an array of 0 dimensions"),
    ],
)
@pytest.mark.parametrize("call", ["predict", "predict_stream", "explain"])
def test_what_is_no_list_of_texts(
    make: Callable[[], Any], message: str, call: str, ngram_predictor: Predictor
) -> None:
    with pytest.raises(UserError, match=message.replace("predict", call)):
        list(getattr(ngram_predictor, call)(make()))


def test_a_text_longer_than_the_model_reads_says_so(ngram_predictor: Predictor) -> None:
    words = ngram_predictor.trained.metadata.config.data.max_length
    long, short = "film " * (words + 1), "film " * words
    assert [a.truncated for a in ngram_predictor.predict([long, short])] == [True, False]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_answer_alike(
    copied: Callable[[Predictor], Predictor], ngram_predictor: Predictor
) -> None:
    again = copied(ngram_predictor)
    assert again.predict(TEXTS) == ngram_predictor.predict(TEXTS)
    assert again.trained.step == ngram_predictor.trained.step


def test_what_is_pickled_is_bytes_alone(ngram_predictor: Predictor) -> None:
    make, models = ngram_predictor.__reduce__()
    assert make == Predictor.from_bytes
    assert [type(model) for model in models] == [bytes]


def test_damaged_bytes_are_refused(ngram_predictor: Predictor) -> None:
    content = pack(ngram_predictor.trained)
    for damaged in (b"", content[:-100], content.replace(b"ngram_order", b"ngram_0rder")):
        with pytest.raises(UserError):
            unpack(damaged)
    params = jax.tree.map(lambda leaf: leaf * np.nan, ngram_predictor.trained.params)
    trained = copy.copy(ngram_predictor.trained)
    object.__setattr__(trained, "params", params)
    with pytest.raises(UserError, match="not finite"):
        unpack(pack(trained))
