"""The hierarchical classifier: its sentences, and what may not change a row's logits."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.hierarchical import split_sentences
from lstm_flax.models.pooling import Pooling
from lstm_flax.recurrent.layers import LSTM
from tests.models.test_classifier import CLASSES, LENGTHS, VOCAB, WEIGHTS, apply, gradient, padded
from tests.recurrent.recurrent_cases import random_variables

ENDS, LIMIT = (4, 5, 6, 7, 8), 6
CONFIG = ModelConfig(
    embedding_size=8, hidden_size=8, hierarchy="sentences", sentence_length=LIMIT, pooling="concat"
)


def make(config: ModelConfig = CONFIG) -> tuple[TextClassifier, dict]:
    model = TextClassifier.from_config(config, VOCAB, CLASSES, sentence_ends=ENDS)
    return model, random_variables(model, jnp.ones((1, 1), int), 1, jnp.ones(1, int))


def by_hand(ids: np.ndarray, ends: tuple[int, ...], limit: int) -> list[np.ndarray]:
    """The sentences of one row's tokens, one token after another."""
    least = (limit + 1) // 2 if ends else limit
    sentences, current = [], []
    for token in ids:
        current.append(token)
        if (token in ends and len(current) >= least) or len(current) == limit:
            sentences.append(np.array(current))
            current = []
    return sentences + ([np.array(current)] if current else [])


@pytest.mark.parametrize("ends", [ENDS, ()])
@pytest.mark.parametrize("width", [32, 41])
def test_sentences_are_those_of_a_plain_loop(ends: tuple[int, ...], width: int) -> None:
    token_ids = padded(width, fill=4)  # ends of sentences, if they were read
    found = split_sentences(token_ids, LENGTHS, ends, LIMIT)
    assert found.starts.shape[1] == -(-width // (3 if ends else 6))
    for row, length in enumerate(LENGTHS):
        expected = by_hand(token_ids[row, :length], ends, LIMIT)
        assert found.counts[row] == len(expected)
        assert not np.any(found.lengths[row, len(expected) :])
        for index, sentence in enumerate(expected):
            start, size = int(found.starts[row, index]), int(found.lengths[row, index])
            np.testing.assert_array_equal(token_ids[row, start : start + size], sentence)


def test_a_row_of_ends_alone_has_as_many_sentences_as_there_is_room_for() -> None:
    found = split_sentences(np.full((1, 12), 4), np.array([12]), ENDS, LIMIT)
    assert found.lengths.tolist() == [[3, 3, 3, 3]]


@pytest.mark.parametrize("pooling", ["attention", "last"])
def test_logits_equal_those_of_a_loop_over_sentences(pooling: str) -> None:
    """Each sentence alone, unpadded, then the document of each row alone."""
    model, variables = make(dataclasses.replace(CONFIG, pooling=pooling))
    params = variables["params"]
    token_ids = padded(32)
    layer = LSTM(8, bidirectional=True, implementation="scan")

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def read(name: str, pool: str, rows: Any) -> Any:
        outputs, (h_n, _) = layer.apply({"params": params[name]}, rows[None])
        last = jnp.concatenate(list(h_n), axis=-1)
        weights = {"params": params.get(pool, {})}
        return Pooling(pooling).apply(weights, outputs, last, jnp.array([len(rows)]))[0]

    logits = apply(model, variables, token_ids, LENGTHS)
    for row in (0, 2, 4):
        sentences = by_hand(token_ids[row, : LENGTHS[row]], ENDS, LIMIT)
        table = params["embedding"]["embedding"]
        vectors = [read("recurrent", "sentence_pooling", table[ids]) for ids in sentences]
        pooled = read("document", "pooling", jnp.stack(vectors))
        expected = pooled @ params["head"]["kernel"] + params["head"]["bias"]
        np.testing.assert_allclose(logits[row], expected, rtol=0, atol=1e-5)


def test_neither_padding_nor_bucket_nor_neighbours_change_logits() -> None:
    model, params = make()
    narrow = apply(model, params, padded(32), LENGTHS)
    assert len(np.unique(np.asarray(narrow))) == narrow.size
    for other in (padded(96), padded(32, fill=4)):
        np.testing.assert_allclose(apply(model, params, other, LENGTHS), narrow, rtol=0, atol=1e-6)
    for row in range(len(LENGTHS)):
        alone = apply(model, params, padded(32)[row : row + 1], LENGTHS[row : row + 1])
        np.testing.assert_allclose(alone[0], narrow[row], rtol=0, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(LENGTHS))
    permuted = apply(model, params, padded(32)[order], LENGTHS[order])
    np.testing.assert_allclose(permuted, narrow[order], rtol=0, atol=1e-6)


def test_nor_do_they_change_gradients() -> None:
    model, params = make()
    token_ids = padded(32)

    def of_rows(rows: np.ndarray) -> dict:
        return gradient(model, params, token_ids[rows], LENGTHS[rows], WEIGHTS[rows])

    whole = gradient(model, params, token_ids)
    rows = np.arange(len(LENGTHS))
    alone = [of_rows(row[None]) for row in rows]
    others = [
        gradient(model, params, padded(96)),
        gradient(model, params, padded(32, fill=4)),
        of_rows(np.random.default_rng(0).permutation(rows)),
        jax.tree.map(lambda *parts: sum(parts), *alone),
    ]
    for other in others:
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())
    assert all(np.any(leaf) for leaf in jax.tree.leaves(whole))


def test_a_boundary_changes_the_answer() -> None:
    model, params = make()
    others = model.clone(sentence_ends=(9,))
    a, b = (apply(each, params, padded(32), LENGTHS) for each in (model, others))
    assert float(np.abs(a - b).max()) > 1e-3


def test_unknown_hierarchies_are_named() -> None:
    with pytest.raises(UserError, match=r"model.hierarchy = 'words': choose none or sentences"):
        TextClassifier(VOCAB, 3, hierarchy="words")
