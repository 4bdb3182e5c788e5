"""The votes of n-grams: their sums reach the logits, whatever the head, and no padding does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.initialization import init_params
from lstm_flax.models.inputs import input_vectors, logits_of_inputs
from lstm_flax.models.votes import votes_matrix
from lstm_flax.types import Batch


def model_and_batch(classes: int, head: str = "softmax") -> tuple[TextClassifier, dict, Batch]:
    """A model of bigrams, its drawn parameters and a batch of two texts, 4 and 2 tokens long."""
    features = 2 * (1 if classes == 2 else classes)
    model = TextClassifier(
        20, classes, 4, 3, cell="rnn", head=head, num_token_features=features, votes_order=2
    )
    params = init_params(model, jax.random.key(0))
    params["votes"]["scale"] = jnp.array([0.7, -0.2])
    rng = np.random.default_rng(0)
    given = rng.normal(size=(2, 4, features)).astype(np.float32)
    given[1, 2:] = 0
    batch = Batch(
        jnp.array([[4, 5, 6, 7], [8, 9, 0, 0]]),
        jnp.array([4, 2]),
        jnp.array([0, 1]),
        jnp.array([True, True]),
        jnp.array(given),
    )
    return model, params, batch


def test_they_have_32_bits_where_jax_has_64() -> None:
    model, params, batch = model_and_batch(2)
    with jax.enable_x64(True):
        made = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
        logits = jax.eval_shape(lambda: apply_classifier(model, params, batch))
    assert {leaf.dtype for leaf in jax.tree.leaves((made, logits))} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(("classes", "head"), [(2, "softmax"), (2, "sigmoid"), (3, "softmax")])
def test_votes_are_the_scaled_sums_by_length_of_n_gram(classes: int, head: str) -> None:
    model, params, batch = model_and_batch(classes, head)
    with_votes = apply_classifier(model, params, batch)
    without = apply_classifier(model.clone(votes_order=0), params, batch)
    sums = np.asarray(batch.token_features).sum(axis=1) / np.sqrt([[4], [2]])
    unigrams, bigrams = np.split(sums, 2, axis=1)
    expected = 0.7 * unigrams - 0.2 * bigrams
    if classes == 2:
        expected = np.pad(expected, ((0, 0), (1, 0)))
    np.testing.assert_allclose(with_votes - without, expected, atol=1e-5)
    if head == "softmax":
        matrix = votes_matrix(params["votes"]["scale"], classes)
        np.testing.assert_allclose(sums @ matrix.T, expected, atol=1e-6)


def test_input_vectors_and_votes_are_all_that_reaches_the_logits() -> None:
    model, params, batch = model_and_batch(3)
    inputs = sum(input_vectors(params, batch))
    found = logits_of_inputs(model, params, inputs, batch.lengths, batch.token_features)
    np.testing.assert_allclose(found, apply_classifier(model, params, batch), atol=1e-6)


def test_votes_without_n_grams_are_refused() -> None:
    with pytest.raises(UserError, match=r"config.model.ngram_votes = True.*ngram_order to 1"):
        ModelConfig(ngram_votes=True)
    with pytest.raises(UserError, match="votes need 6 features"):
        TextClassifier(20, 3, num_token_features=2, votes_order=2)
