"""Weight decay, clipping, schedules, accumulation and what depends on a layer's depth."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config, OptimizerConfig
from lstm_flax.errors import UserError
from lstm_flax.training.optimizer import (
    kernel_mask,
    make_optimizer,
    make_schedule,
    output_depths,
)
from lstm_flax.training.train import train
from tests.cli.run_files import leaves
from tests.training.step_cases import changed

PARAMS = {
    "embedding": {"embedding": jnp.array([[1.0, -2.0]])},
    "head": {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([5.0])},
}

CELL = {"hi": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
DEEP = {
    "embedding": {"embedding": jnp.ones((3, 2))},
    "ngrams": {"kernel": jnp.ones((3, 2))},
    "recurrent": {
        "layers_0_forward": CELL,
        "layers_0_backward": CELL,
        "layers_1_forward": CELL,
    },
    "head": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)},
}
DEPTHS = {
    "embedding": {"embedding": 3},
    "ngrams": {"kernel": 3},
    "recurrent": {
        "layers_0_forward": {"hi": {"kernel": 2, "bias": 2}},
        "layers_0_backward": {"hi": {"kernel": 2, "bias": 2}},
        "layers_1_forward": {"hi": {"kernel": 1, "bias": 1}},
    },
    "head": {"kernel": 0, "bias": 0},
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


def test_layer_decay_scales_the_updates_by_depth() -> None:
    settings = {"name": "sgd", "b1": 0.0, "schedule": "constant", "weight_decay": 0.0}
    config = OptimizerConfig(**settings, learning_rate=1.0, clip_norm=0.0, layer_decay=0.5)
    after = updated(config, jax.tree.map(jnp.ones_like, DEEP), DEEP)
    change = jax.tree.map(lambda a, b: float(jnp.mean(b - a)), after, DEEP)
    expected = jax.tree.map(lambda depth: 0.5**depth, DEPTHS)
    assert change == expected


@pytest.mark.parametrize("accumulation", [1, 2])
def test_layers_join_from_the_top_one_an_epoch(accumulation: int) -> None:
    # Decay moves the kernels, and moments every leaf: what is frozen must withstand both.
    config = OptimizerConfig(
        schedule="constant",
        weight_decay=0.5,
        unfreeze_epochs=2,
        accumulation_steps=accumulation,
    )
    # An epoch is 3 updates, whatever batches are left over.
    optimizer = make_optimizer(config, 100, 3 * accumulation + accumulation // 2)
    update, params = jax.jit(optimizer.update), DEEP
    state = optimizer.init(params)
    for batch in range(24 * accumulation):
        updates, state = update(jax.tree.map(jnp.ones_like, params), state, params)
        after = optax.apply_updates(params, updates)
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), params, after)
        count, left = divmod(batch + 1, accumulation)  # updates made, batches that wait
        deepest = -1 if left else (count - 1) // 6
        assert moved == jax.tree.map(deepest.__ge__, DEPTHS), batch
        params = after


def test_outputs_of_a_language_model_are_of_depth_0() -> None:
    names = {"softmax_bias": jnp.ones(3), "projection_forward": {"kernel": jnp.ones((2, 2))}}
    depths = output_depths(DEEP | names)
    assert depths == DEPTHS | {"softmax_bias": 0, "projection_forward": {"kernel": 0}}


def test_the_state_grows_by_a_count_only_where_layers_are_frozen() -> None:
    plain = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.constant_schedule(1.0), mask=kernel_mask)
    )
    off, on = (
        make_optimizer(OptimizerConfig(schedule="constant", unfreeze_epochs=epochs), 100, 10)
        for epochs in (0, 1)
    )
    assert jax.tree.structure(off.init(DEEP)) == jax.tree.structure(plain.init(DEEP))
    assert len(jax.tree.leaves(on.init(DEEP))) == len(jax.tree.leaves(plain.init(DEEP))) + 1


@pytest.mark.slow
def test_a_run_continued_unfreezes_as_an_uninterrupted_one(
    brief_config: Config, tmp_path: Path
) -> None:
    config = changed(brief_config, optimizer={"unfreeze_epochs": 1}, training={"ema_decay": 0.0})
    longer = changed(config, training={"epochs": 2})
    train(config, tmp_path / "stopped", show_progress=False)
    first = load_trained_model(tmp_path / "stopped", "last").params
    for cell in first["recurrent"].values():  # as drawn, after an epoch of the head alone
        np.testing.assert_array_equal(cell["hf"]["bias"], 1)
        np.testing.assert_array_equal(cell["hi"]["bias"], 0)
    assert np.all(first["head"]["bias"] != 0)
    train(longer, tmp_path / "stopped", show_progress=False)
    second = load_trained_model(tmp_path / "stopped", "last").params
    jax.tree.map(np.testing.assert_array_equal, first["embedding"], second["embedding"])
    for cell in second["recurrent"].values():
        assert np.all(cell["hi"]["bias"] != 0)
    train(longer, tmp_path / "whole", show_progress=False)
    for a, b in zip(leaves(tmp_path / "whole"), leaves(tmp_path / "stopped"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_batches_to_an_update_than_there_are_is_refused() -> None:
    config = OptimizerConfig(accumulation_steps=4)
    with pytest.raises(UserError, match=r"accumulation_steps = 4: .* 3 batches; lower it"):
        make_optimizer(config, total_steps=3)
