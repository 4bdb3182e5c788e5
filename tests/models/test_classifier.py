"""The classifier: what may and what may not change a row's logits."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.embedding import TokenEmbedding
from lstm_flax.models.head import log_probabilities, predicted_class
from lstm_flax.models.pooling import Pooling
from lstm_flax.types import PAD_ID
from tests.recurrent.recurrent_cases import random_variables

VOCAB, CLASSES = 50, 3
CONFIG = ModelConfig(embedding_size=8, hidden_size=8)
RNG = np.random.default_rng(0)
LENGTHS = np.array([1, 32, 7, 20, 31, 2, 15, 9], np.int32)


def make(config: ModelConfig, classes: int = CLASSES) -> tuple[TextClassifier, dict]:
    model = TextClassifier.from_config(config, VOCAB, classes)
    return model, random_variables(model, jnp.ones((1, 1), int), 1, jnp.ones(1, int))


@functools.partial(jax.jit, static_argnums=0)
def apply(
    model: TextClassifier | TokenEmbedding,
    params: dict,
    token_ids: np.ndarray,
    lengths: np.ndarray,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Logits, or embedded tokens, in one program: one by one its operations take seconds."""
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    return model.apply(params, token_ids, lengths, deterministic=rngs is None, rngs=rngs)


def padded(width: int, fill: int = PAD_ID) -> np.ndarray:
    rows = np.random.default_rng(5).integers(4, VOCAB, (len(LENGTHS), 32))
    token_ids = np.full((len(LENGTHS), width), fill, np.int32)
    for row, length in enumerate(LENGTHS):
        token_ids[row, :length] = rows[row, :length]
    return token_ids


WEIGHTS = np.random.default_rng(6).normal(size=(len(LENGTHS), CLASSES)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def gradient(
    model: TextClassifier,
    params: dict,
    token_ids: np.ndarray,
    lengths: np.ndarray = LENGTHS,
    weights: np.ndarray = WEIGHTS,
) -> dict:
    """Of the sum of all logits times `weights` [B, C]."""
    return jax.grad(lambda p: jnp.sum(model.apply(p, token_ids, lengths) * weights))(params)


@pytest.mark.parametrize(
    ("pooling", "cell"),
    [
        # Every pooling and every cell once; all pairs with the slow tests.
        pytest.param(p, c, marks=() if c == "lstm" or p == "concat" else pytest.mark.slow)
        for p in ("last", "mean", "max", "attention", "concat")
        for c in ("lstm", "gru", "rnn")
    ],
)
def test_neither_bucket_nor_padding_id_changes_logits(pooling: str, cell: str) -> None:
    model, params = make(dataclasses.replace(CONFIG, pooling=pooling, cell=cell, num_layers=2))
    narrow = apply(model, params, padded(32), LENGTHS)
    assert narrow.shape == (len(LENGTHS), CLASSES)
    assert len(np.unique(np.asarray(narrow))) == narrow.size
    np.testing.assert_array_equal(narrow, apply(model, params, padded(96), LENGTHS))
    np.testing.assert_array_equal(narrow, apply(model, params, padded(32, fill=7), LENGTHS))


def test_neither_bucket_nor_padding_id_changes_gradients() -> None:
    model, params = make(CONFIG)
    expected = gradient(model, params, padded(32))
    for other in (padded(96), padded(32, fill=7)):
        got = gradient(model, params, other)
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def test_neighbours_batch_size_and_order_do_not_matter() -> None:
    model, params = make(CONFIG)
    token_ids = padded(32)
    whole = apply(model, params, token_ids, LENGTHS)
    for row in range(len(LENGTHS)):
        alone = apply(model, params, token_ids[row : row + 1], LENGTHS[row : row + 1])
        np.testing.assert_allclose(alone[0], whole[row], rtol=0, atol=1e-6)
    order = RNG.permutation(len(LENGTHS))
    np.testing.assert_allclose(
        apply(model, params, token_ids[order], LENGTHS[order]), whole[order], rtol=0, atol=1e-6
    )


def test_gradients_do_not_depend_on_batch_size_and_order() -> None:
    model, params = make(CONFIG)
    token_ids = padded(32)

    def gradient_of(rows: np.ndarray) -> dict:
        return gradient(model, params, token_ids[rows], LENGTHS[rows], WEIGHTS[rows])

    expected = gradient_of(np.arange(len(LENGTHS)))
    permuted = gradient_of(RNG.permutation(len(LENGTHS)))
    halves = [gradient_of(rows) for rows in np.split(np.arange(len(LENGTHS)), 2)]
    summed = jax.tree.map(jnp.add, *halves)
    for other in (permuted, summed):
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def test_padding_row_of_the_embedding_is_zero_and_gets_no_gradient() -> None:
    model = TextClassifier.from_config(CONFIG, VOCAB, CLASSES)
    params = jax.jit(model.init)(jax.random.PRNGKey(1), padded(32), LENGTHS)
    table = params["params"]["embedding"]["embedding"]
    assert not np.any(table[PAD_ID])
    assert np.all(np.any(np.asarray(table)[1:] != 0, axis=1))
    grads = gradient(model, params, padded(96))["params"]["embedding"]["embedding"]
    assert not np.any(grads[PAD_ID])
    assert np.any(grads)


def test_dropout_differs_by_key_repeats_by_key_and_is_absent_in_evaluation() -> None:
    config = dataclasses.replace(
        CONFIG, num_layers=2, word_dropout=0.3, dropout=0.3, recurrent_dropout=0.3
    )
    model, params = make(config)

    def logits(key: int) -> np.ndarray:
        return apply(model, params, padded(32), LENGTHS, jax.random.PRNGKey(key))

    np.testing.assert_array_equal(logits(0), logits(0))
    assert not np.allclose(logits(0), logits(1))
    evaluated = apply(model, params, padded(32), LENGTHS)
    without = dataclasses.replace(
        config, word_dropout=0.0, dropout=0.0, recurrent_dropout=0.0, embedding_dropout=0.0
    )
    plain = TextClassifier.from_config(without, VOCAB, CLASSES)
    np.testing.assert_array_equal(evaluated, apply(plain, params, padded(32), LENGTHS))


def test_embedding_dropout_is_one_mask_over_time() -> None:
    embedding = TokenEmbedding(VOCAB, 8, embedding_dropout=0.5)
    token_ids = np.full((2, 32), 9, np.int32)
    lengths = np.array([32, 32], np.int32)
    params = random_variables(embedding, token_ids, 1, lengths)
    embedded = apply(embedding, params, token_ids, lengths, jax.random.PRNGKey(0))
    dropped = np.asarray(embedded == 0)
    assert np.all(dropped == dropped[:, :1])
    assert dropped.any()
    assert not dropped.all()
    assert not np.array_equal(dropped[0], dropped[1])


def test_sigmoid_head_emits_zero_and_the_log_odds_of_class_1() -> None:
    model, params = make(dataclasses.replace(CONFIG, head="sigmoid"), classes=2)
    assert params["params"]["head"]["kernel"].shape == (48, 1)
    logits = np.asarray(apply(model, params, padded(32), LENGTHS))
    assert logits.shape == (len(LENGTHS), 2)
    assert not logits[:, 0].any()
    assert len(np.unique(logits[:, 1])) == len(LENGTHS)
    np.testing.assert_allclose(
        jax.nn.softmax(logits)[:, 1], 1 / (1 + np.exp(-logits[:, 1])), rtol=1e-5
    )
    np.testing.assert_array_equal(predicted_class(logits), logits[:, 1] > 0)
    np.testing.assert_allclose(np.exp(log_probabilities(logits)).sum(axis=1), 1, rtol=1e-6)


def test_the_gradient_is_cut_in_training_alone() -> None:
    quiet = {"embedding_dropout": 0.0, "word_dropout": 0.0, "head_dropout": 0.0}
    model, params = make(dataclasses.replace(CONFIG, pooling="last", **quiet))
    cut = model.clone(truncate_gradient_every=5)
    token_ids = padded(32)

    def of_embedding(model: TextClassifier, deterministic: bool) -> np.ndarray:
        def total(params: dict) -> jax.Array:
            return jnp.sum(model.apply(params, token_ids, LENGTHS, None, deterministic) * WEIGHTS)

        return np.asarray(jax.jit(jax.grad(total))(params)["params"]["embedding"]["embedding"])

    whole = of_embedding(model, deterministic=True)
    np.testing.assert_array_equal(of_embedding(cut, deterministic=True), whole)
    assert float(np.abs(of_embedding(cut, deterministic=False) - whole).max()) > 1e-3
    longer = model.clone(truncate_gradient_every=32)
    np.testing.assert_allclose(of_embedding(longer, deterministic=False), whole, atol=1e-6)
    np.testing.assert_allclose(
        jax.jit(cut.apply, static_argnums=4)(params, token_ids, LENGTHS, None, False),
        apply(model, params, token_ids, LENGTHS),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_merged_directions_meet_before_pooling_and_head(merge: str) -> None:
    config = dataclasses.replace(CONFIG, direction_merge=merge, pooling="last")
    model, params = make(config)
    assert params["params"]["head"]["kernel"].shape == (8, 3)
    apart, _ = make(dataclasses.replace(CONFIG, pooling="last"))
    twice = jax.tree.map(lambda a: a, params)
    head = params["params"]["head"]
    scale = 0.5 if merge == "mean" else 1.0
    kernel = scale * jnp.concatenate([head["kernel"], head["kernel"]])
    twice["params"]["head"] = {"kernel": kernel, "bias": head["bias"]}
    np.testing.assert_allclose(
        apply(model, params, padded(96), LENGTHS),
        apply(apart, twice, padded(32), LENGTHS),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("takes", "shape"), [(4, None), (4, (8, 32, 3)), (4, (8, 31, 4)), (0, (8, 32, 4))]
)
def test_token_features_of_a_wrong_shape_are_refused(
    takes: int, shape: tuple[int, ...] | None
) -> None:
    model = TextClassifier(VOCAB, 3, 8, 6, num_token_features=takes)
    features = None if shape is None else np.ones(shape, np.float32)
    with pytest.raises(UserError, match="token_features") as error:
        model.init(jax.random.key(0), padded(32), LENGTHS, features)
    assert str(shape) in str(error.value)
    assert ("(8, 32, 4)" in str(error.value)) == (takes == 4 or shape == (8, 32, 4))


def test_bfloat16_stays_near_float32_and_keeps_float32_parameters() -> None:
    model, params = make(CONFIG)
    half, half_params = make(dataclasses.replace(CONFIG, dtype="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(half_params)} == {np.dtype("float32")}
    expected, got = (
        apply(model, params, padded(32), LENGTHS),
        apply(half, params, padded(32), LENGTHS),
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["mean", "max", "concat"])
@pytest.mark.smoke
def test_pooling_equals_a_plain_loop(kind: str) -> None:
    outputs = RNG.normal(size=(3, 6, 4)).astype(np.float32) - 3  # all below the zeros of padding
    last, lengths = RNG.normal(size=(3, 4)).astype(np.float32), np.array([1, 6, 4])
    got = Pooling(kind).apply({}, outputs, last, lengths)
    for row, length in enumerate(lengths):
        valid = outputs[row, :length]
        expected = {
            "mean": valid.mean(0),
            "max": valid.max(0),
            "concat": np.concatenate([last[row], valid.max(0), valid.mean(0)]),
        }[kind]
        np.testing.assert_allclose(got[row], expected, rtol=1e-6)


def test_attention_weights_are_a_masked_softmax() -> None:
    outputs = RNG.normal(size=(2, 5, 4)).astype(np.float32)
    lengths, last = np.array([5, 2]), np.zeros((2, 4), np.float32)
    params = random_variables(Pooling("attention"), outputs, 0, last, lengths)
    got = Pooling("attention").apply(params, outputs, last, lengths)
    inner = params["params"]
    for row, length in enumerate(lengths):
        valid = outputs[row, :length]
        hidden = np.tanh(
            valid @ inner["attention_hidden"]["kernel"] + inner["attention_hidden"]["bias"]
        )
        scores = np.exp(hidden @ inner["attention_score"]["kernel"])[:, 0]
        np.testing.assert_allclose(got[row], scores @ valid / scores.sum(), rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "concat"])
def test_traced_lengths_out_of_range_count_as_the_nearest_valid_one(pooling: str) -> None:
    model, params = make(dataclasses.replace(CONFIG, pooling=pooling))
    ids = padded(32)[:2]
    logits = jax.jit(lambda lengths: model.apply(params, ids, lengths))
    np.testing.assert_array_equal(logits(jnp.array([0, 99])), logits(jnp.array([1, 32])))


@pytest.mark.parametrize("hierarchy", ["none", "sentences"])
def test_known_lengths_and_ids_out_of_range_are_refused(hierarchy: str) -> None:
    model = TextClassifier(VOCAB, 2, 4, 4, hierarchy=hierarchy, sentence_ends=(5,))
    ids, lengths = np.full((2, 3), 7), np.array([3, 2])
    params = model.init(jax.random.key(0), ids, lengths)
    for wrong in ([4, 2], [0, 2], [2.5, 1.0], [1], [[1, 2]]):
        with pytest.raises(UserError, match="lengths must be"):
            model.apply(params, ids, np.array(wrong))
    for wrong in (ids + VOCAB, -ids):
        with pytest.raises(UserError, match="a vocabulary of 50 has 0 to 49"):
            model.apply(params, wrong, lengths)
    with pytest.raises(UserError, match="whole numbers, not bool"):
        model.apply(params, ids > 4, lengths)
    beyond = np.array([[7, 7, 7], [7, 7, 99]])  # past its row's length, so never read
    np.testing.assert_array_equal(
        model.apply(params, beyond, lengths), model.apply(params, ids, lengths)
    )
