"""The training step: masks, learning, class weights."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.config.recipes import AdversarialConfig
from lstm_flax.errors import UserError
from lstm_flax.models import init_params
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.training.losses import ClassificationLoss, class_weights
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.tasks.language_model import make_language_model_step
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.training.train_step import make_train_step
from lstm_flax.types import StreamBatch
from tests.training.step_cases import (
    build,
    changed,
    jit_apply,
    jit_init,
    one_step,
    random_batch,
    step_of,
)


def test_masked_rows_change_nothing(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0}
    config = changed(tiny_config, model=fields)
    full, filler = random_batch(6), random_batch(4, seed=1)
    filler = filler._replace(example_mask=np.zeros(4, bool), lengths=np.ones(4, np.int32))
    both = jax.tree.map(lambda *pair: np.concatenate(pair), full, filler)
    (a, _), (b, metrics) = one_step(config, full), one_step(config, both)
    for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6)
    assert int(metrics.examples) == 6


@pytest.mark.smoke
def test_it_overfits_32_texts(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0}
    config = changed(tiny_config, model=fields, optimizer={"schedule": "constant"})
    batch = random_batch(32)  # random labels: nothing to learn but the texts themselves
    model = build(config)
    optimizer = make_optimizer(config.optimizer, 100)
    step = jax.jit(make_train_step(ClassificationLoss(model), optimizer))
    params = jit_init(model, jax.random.key(0))
    state = TrainState.create(params, optimizer, make_key(1))
    for _ in range(100):
        state, _ = step(state, batch)
    logits = jit_apply(model, state.params, batch)
    assert np.mean(np.argmax(logits, axis=1) == batch.labels) == 1.0


@pytest.mark.parametrize(
    "areas",
    [
        {"model": {"dtype": "bfloat16", "head": "sigmoid"}},
        {"model": {"cell": "gru", "embedding_dropout": 0.5, "recurrent_dropout": 0.5}},
        {"model": {"cell": "rnn", "hierarchy": "sentences", "pooling": "attention"}},
        {"optimizer": {"accumulation_steps": 3}, "training": {"ema_decay": 0.9}},
        {"recipes": {"adversarial": AdversarialConfig(weight=0.5, virtual_weight=0.5)}},
    ],
)
def test_nothing_gets_64_bits_that_has_32(areas: dict[str, Any], tiny_config: Config) -> None:
    create, step = step_of(changed(tiny_config, **areas))
    assert_no_64_bits(create, step, random_batch(4, width=6))


def test_nothing_of_a_language_model_gets_64_bits_that_has_32(lm_config: Config) -> None:
    settings = dataclasses.replace(lm_config.language_model, softmax_samples=8)
    model = LanguageModel.from_config(lm_config.model, settings, 40)
    optimizer = make_optimizer(lm_config.optimizer, 10)
    pieces = np.ones((3, model.directions, 7), np.int32)
    batch = StreamBatch(pieces, pieces, pieces > 0)

    def create() -> TrainState:
        params, carry = init_params(model, jax.random.key(0)), model.initial_carry(3)
        return TrainState.create(params, optimizer, make_key(1), carry=carry)

    assert_no_64_bits(create, make_language_model_step(model, optimizer, settings), batch)


def assert_no_64_bits(create: Any, step: Any, batch: Any) -> None:
    with jax.enable_x64(True):
        before = jax.eval_shape(create)
        after, metrics = jax.eval_shape(step, before, batch)
    dtypes = {str(array.dtype) for array in jax.tree.leaves((after, metrics))}
    assert dtypes <= {"float32", "int32", "bool", "key<fry>"}
    assert jax.tree.map(lambda a: a.dtype, after) == jax.tree.map(lambda a: a.dtype, before)


def test_class_weights_are_given_or_balanced() -> None:
    labels = np.array([0, 0, 0, 1])
    names = ("neg", "pos")
    np.testing.assert_array_equal(class_weights((), False, names, labels), [1, 1])
    np.testing.assert_allclose(class_weights((), True, names, labels), [4 / 6, 4 / 2])
    np.testing.assert_allclose(class_weights((1.0, 2.0), False, names, labels), [1, 2])
    with pytest.raises(UserError, match="3 weights for 2 labels; give one to each"):
        class_weights((1.0, 2.0, 3.0), False, names, labels)


def test_class_weights_weigh_the_loss_and_leave_the_metrics() -> None:
    logits, batch = np.array([[0.0, 1.0], [2.0, 0.0]], np.float32), random_batch(2)
    batch = batch._replace(labels=np.array([0, 1], np.int32))
    plain, metrics = ClassificationLoss(None).of_logits(logits, batch)
    weighed, same = ClassificationLoss(None, np.array([3.0, 1.0])).of_logits(logits, batch)
    losses = np.log1p(np.exp([1.0, 2.0]))
    np.testing.assert_allclose(plain, losses.mean(), rtol=1e-6)
    np.testing.assert_allclose(weighed, (3 * losses[0] + losses[1]) / 4, rtol=1e-6)
    assert int(metrics.correct) == int(same.correct) == 0
    assert int(metrics.examples) == int(same.examples) == 2


def test_sigmoid_head_needs_two_classes(tiny_config: Config) -> None:
    with pytest.raises(UserError, match="3 classes"):
        build(changed(tiny_config, model={"head": "sigmoid"}), 3)
