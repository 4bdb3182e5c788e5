"""One training step on made-up batches, for tests of what a step does."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lstm_flax.config import Config
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import TextClassifier, apply_classifier, init_params
from lstm_flax.recipes import make_recipes
from lstm_flax.training.losses import ClassificationLoss
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.recipe import gradient_of
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.training.train_step import make_train_step, plain_gradient
from lstm_flax.types import Batch

# In one program each, of the model given: operation by operation they take seconds to compile.
jit_init = jax.jit(init_params, static_argnums=0)
jit_apply = jax.jit(apply_classifier, static_argnums=0)


def changed(config: Config, **areas: dict[str, Any]) -> Config:
    replaced = {
        name: dataclasses.replace(getattr(config, name), **fields) for name, fields in areas.items()
    }
    return dataclasses.replace(config, **replaced)


def build(config: Config, classes: int = 2) -> TextClassifier:
    """The classifier of a configuration over 64 tokens, without token features."""
    return TextClassifier.from_config(config.model, 64, classes)


def first_state(config: Config, classes: int = 2) -> TrainState:
    """The state before the first step."""
    return _compiled_step(config, classes)[0]()


def one_step(
    config: Config, batch: Batch, classes: int = 2, start: TrainState | None = None
) -> tuple[TrainState, MetricSums]:
    """The state after one step, the first unless said, and the step's metrics."""
    create, step = _compiled_step(config, classes)
    return step(create() if start is None else start, batch)


@functools.cache
def _compiled_step(config: Config, classes: int) -> tuple[Callable, Callable]:
    """Those of `step_of`, each compiled once a shape."""
    create, step = step_of(config, classes)
    return jax.jit(create), jax.jit(step)


def step_of(config: Config, classes: int = 2) -> tuple[Callable, Callable]:
    """The functions that make the state before the first step, and the next one."""
    model = build(config, classes)
    recipes = make_recipes(config.recipes)
    optimizer = make_optimizer(config.optimizer, 10, recipes=recipes)

    def create() -> TrainState:
        params = init_params(model, jax.random.key(0))
        return TrainState.create(params, optimizer, make_key(1), average=True)

    training = config.training
    loss = ClassificationLoss(model, np.ones(classes, np.float32), training.label_smoothing)
    gradient = gradient_of(recipes) or plain_gradient
    return create, make_train_step(loss, optimizer, training.ema_decay, gradient)


def random_batch(rows: int, width: int = 32, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        token_ids=rng.integers(4, 64, (rows, width)).astype(np.int32),
        lengths=rng.integers(1, width + 1, rows).astype(np.int32),
        labels=rng.integers(0, 2, rows).astype(np.int32),
        example_mask=np.ones(rows, bool),
    )


def same(a: Any, b: Any, atol: float = 0.0) -> None:
    """Checks that all leaves of two trees are equal, or within a tolerance."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)
