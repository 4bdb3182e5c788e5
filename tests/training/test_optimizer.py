"""Weight decay, clipping, schedules and accumulation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lstm_flax.config import OptimizerConfig
from lstm_flax.errors import UserError
from lstm_flax.training.optimizer import make_optimizer, make_schedule

PARAMS = {
    "embedding": {"embedding": jnp.array([[1.0, -2.0]])},
    "head": {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([5.0])},
}


def updated(config: OptimizerConfig, grads: dict, params: dict = PARAMS, steps: int = 1) -> dict:
    optimizer = make_optimizer(config, total_steps=100)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_decay_with_zero_gradient_shrinks_kernels_and_leaves_the_rest() -> None:
    config = OptimizerConfig(schedule="constant", learning_rate=0.1, weight_decay=0.5)
    after = updated(config, jax.tree.map(jnp.zeros_like, PARAMS))
    np.testing.assert_allclose(after["head"]["kernel"], PARAMS["head"]["kernel"] * 0.95, rtol=1e-6)
    np.testing.assert_array_equal(after["head"]["bias"], PARAMS["head"]["bias"])
    np.testing.assert_array_equal(after["embedding"]["embedding"], PARAMS["embedding"]["embedding"])


def test_clipping_bounds_the_global_norm() -> None:
    config = OptimizerConfig(
        name="sgd", b1=0.0, schedule="constant", learning_rate=1.0, weight_decay=0.0, clip_norm=0.5
    )
    grads = jax.tree.map(lambda leaf: 100 * leaf, PARAMS)
    change = jax.tree.map(jnp.subtract, updated(config, grads), PARAMS)
    np.testing.assert_allclose(optax.tree.norm(change), 0.5, rtol=1e-5)


def test_accumulation_equals_the_mean_gradient() -> None:
    settings = {"name": "adam", "schedule": "constant", "weight_decay": 0.0, "clip_norm": 0.0}
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    one = updated(OptimizerConfig(**settings), grads)
    four = updated(OptimizerConfig(**settings, accumulation_steps=4), grads, steps=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, four)
    unfinished = updated(OptimizerConfig(**settings, accumulation_steps=4), grads, steps=3)
    jax.tree.map(np.testing.assert_array_equal, unfinished, PARAMS)


def test_cosine_warms_up_peaks_and_ends_at_zero() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=2.0, warmup_fraction=0.1), 100)
    assert float(schedule(0)) == 0
    assert float(schedule(10)) == pytest.approx(2.0)
    assert float(schedule(55)) == pytest.approx(1.0)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-7)


def test_more_batches_to_an_update_than_there_are_is_refused() -> None:
    config = OptimizerConfig(accumulation_steps=4)
    with pytest.raises(UserError, match=r"accumulation_steps = 4: .* 3 batches; lower it"):
        make_optimizer(config, total_steps=3)
