"""The training step: masks, learning, class weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.checkpoints.restore import build_model
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.training.losses import class_weights
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import make_train_step
from tests.training.step_cases import changed, jit_apply, jit_init, one_step, random_batch


def test_masked_rows_change_nothing(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0}
    config = changed(tiny_config, model=fields)
    full, filler = random_batch(6), random_batch(4, seed=1)
    filler = filler._replace(example_mask=np.zeros(4, bool), lengths=np.ones(4, np.int32))
    both = jax.tree.map(lambda *pair: np.concatenate(pair), full, filler)
    a, b = one_step(config, full), one_step(config, both)
    for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6)
    assert int(b.epoch_sums.examples) == 6


def test_it_overfits_32_texts(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0}
    config = changed(tiny_config, model=fields, optimizer={"schedule": "constant"})
    batch = random_batch(32)  # random labels: nothing to learn but the texts themselves
    model = build_model(config, 64, 2)
    optimizer = make_optimizer(config.optimizer, 100)
    step = jax.jit(make_train_step(model, optimizer, config.training, jnp.ones(2)))
    params = jit_init(model, jax.random.PRNGKey(0))
    state = TrainState.create(params, optimizer, jax.random.PRNGKey(1), average=False)
    for _ in range(100):
        state = step(state, batch)
    logits = jit_apply(model, state.params, batch)
    assert np.mean(np.argmax(logits, axis=1) == batch.labels) == 1.0


def test_class_weights_are_given_or_balanced(tiny_config: Config) -> None:
    labels = np.array([0, 0, 0, 1])
    names = ("neg", "pos")
    np.testing.assert_array_equal(class_weights(tiny_config.training, names, labels), [1, 1])
    balanced = changed(tiny_config, training={"balance_classes": True})
    np.testing.assert_allclose(class_weights(balanced.training, names, labels), [4 / 6, 4 / 2])
    given = changed(tiny_config, training={"class_weights": (1.0, 2.0, 3.0)})
    with pytest.raises(UserError, match="3 weights for 2 labels; give one to each"):
        class_weights(given.training, names, labels)


def test_sigmoid_head_needs_two_classes(tiny_config: Config) -> None:
    with pytest.raises(UserError, match="3 classes"):
        build_model(changed(tiny_config, model={"head": "sigmoid"}), 64, 3)
