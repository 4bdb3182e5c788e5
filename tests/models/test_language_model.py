"""The language model: causality, carried state, two directions, weight drop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.models import init_params
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel, drop_recurrent_weights
from tests.models.language_model_cases import VOCAB, jit_read, random_ids, small_model
from tests.training.step_cases import changed


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_token_is_predicted_from_those_before_it_alone(
    lm_config: Config, layers: int, bidirectional: bool
) -> None:
    model, params = small_model(lm_config, num_layers=layers, bidirectional=bidirectional)
    ids = random_ids(3, model.directions, 9)
    queries, _, _ = jit_read(model, params, ids, model.initial_carry(3))
    for t in (0, 4, 8):
        other = ids.copy()
        other[:, :, t] = 4 + (other[:, :, t] - 3) % (VOCAB - 4)
        there, _, _ = jit_read(model, params, other, model.initial_carry(3))
        np.testing.assert_array_equal(there[:, :, :t], queries[:, :, :t])
        assert np.all(np.any(there[:, :, t:] != queries[:, :, t:], axis=-1))
    if bidirectional:  # the two never see each other
        other = ids.copy()
        other[:, 1] = random_ids(3, 9, seed=1)
        there, _, _ = jit_read(model, params, other, model.initial_carry(3))
        np.testing.assert_array_equal(there[:, 0], queries[:, 0])
        assert np.any(there[:, 1] != queries[:, 1])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_carried_state_makes_pieces_one_long_sequence(lm_config: Config, layers: int) -> None:
    model, params = small_model(lm_config, num_layers=layers)
    ids = random_ids(3, 2, 12)
    whole, _, end = jit_read(model, params, ids, model.initial_carry(3))
    first, _, carry = jit_read(model, params, ids[..., :6], model.initial_carry(3))
    second, _, last = jit_read(model, params, ids[..., 6:], carry)
    joined = jnp.concatenate([first, second], axis=2)
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_no_gradient_flows_into_the_carry(lm_config: Config) -> None:
    model, params = small_model(lm_config)

    def final(params: Any) -> jax.Array:
        _, _, carry = jit_read(model, params, random_ids(3, 2, 5), model.initial_carry(3))
        return sum(jnp.sum(state) for state in carry)

    assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.jit(jax.grad(final))(params)))


def test_the_two_directions_are_the_classifier_s(lm_config: Config) -> None:
    _, params = small_model(lm_config)
    classifier = TextClassifier.from_config(lm_config.model, VOCAB, 2)
    theirs = jax.eval_shape(functools.partial(init_params, classifier), jax.random.PRNGKey(1))

    def shapes(tree: Any) -> Any:
        return jax.tree.map(jnp.shape, {name: tree[name] for name in ("embedding", "recurrent")})

    assert shapes(params) == shapes(theirs)


def test_weight_drop_drops_recurrent_kernels_only_and_scales_the_rest(lm_config: Config) -> None:
    _, params = small_model(lm_config, hidden_size=32)
    before = params["recurrent"]
    after = jax.jit(drop_recurrent_weights)(before, 0.25, jax.random.PRNGKey(3))
    cell = "layers_0_backward"
    np.testing.assert_array_equal(after[cell]["ii"]["kernel"], before[cell]["ii"]["kernel"])
    np.testing.assert_array_equal(after[cell]["hf"]["bias"], before[cell]["hf"]["bias"])
    masks = []
    for gate in ("hi", "hf", "hg", "ho"):
        was, now = before[cell][gate]["kernel"], after[cell][gate]["kernel"]
        kept = np.asarray(now) != 0
        assert 0.65 < kept.mean() < 0.85
        np.testing.assert_allclose(now[kept], was[kept] / 0.75, rtol=1e-6)
        masks.append(kept)
    assert np.any(masks[0] != masks[1])


def test_weight_drop_has_one_mask_for_all_steps_and_none_at_rate_zero(lm_config: Config) -> None:
    quiet = {"embedding_dropout": 0.0, "word_dropout": 0.0, "head_dropout": 0.0}
    ids, key = random_ids(2, 2, 12), jax.random.PRNGKey(5)
    for rate in (0.0, 0.5):
        config = changed(lm_config, language_model={"weight_drop": rate})
        model, params = small_model(config, **quiet)
        start = model.initial_carry(2)
        plain, _, _ = jit_read(model, params, ids, start)
        whole, _, _ = jit_read(model, params, ids, start, key)
        first, _, carry = jit_read(model, params, ids[..., :6], start, key)
        second, _, _ = jit_read(model, params, ids[..., 6:], carry, key)
        joined = jnp.concatenate([first, second], axis=2)
        np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)
        assert np.array_equal(plain, whole) == (rate == 0.0)


def test_ids_and_carries_of_another_shape_are_refused() -> None:
    model = LanguageModel(VOCAB, 4, 4, bidirectional=True)
    ids = np.full((2, 2, 5), 7)
    params = model.init(jax.random.key(0), ids, model.initial_carry(2))
    for shape in ((2, 1, 5), (2, 3, 5), (2, 5), (2, 2, 0), (0, 2, 5)):
        with pytest.raises(UserError, match=r"token_ids of shape .*: must be \[B, 2, T\]"):
            model.apply(params, np.full(shape, 7), model.initial_carry(2))
    h, c = model.initial_carry(2)
    for carry in (LanguageModel(VOCAB, 4, 4).initial_carry(2), (h, c[:1]), (h,)):
        with pytest.raises(UserError, match="carry of shapes"):
            model.apply(params, ids, carry)
