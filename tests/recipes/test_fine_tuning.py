"""Updates that depend on a layer's distance from the output."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config, OptimizerConfig
from lstm_flax.config.recipes import FineTuningConfig
from lstm_flax.recipes import make_recipes
from lstm_flax.recipes.fine_tuning import FineTuning, output_depths
from lstm_flax.training.optimizer import kernel_mask, make_optimizer
from lstm_flax.training.train import train
from tests.cli.run_files import leaves
from tests.training.step_cases import changed

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


def tuned(config: OptimizerConfig, *steps: int, **section: Any) -> optax.GradientTransformation:
    return make_optimizer(config, *steps, recipes=[FineTuning(FineTuningConfig(**section))])


def test_layer_decay_scales_the_updates_by_depth() -> None:
    settings = {"name": "sgd", "b1": 0.0, "schedule": "constant", "weight_decay": 0.0}
    config = OptimizerConfig(**settings, learning_rate=1.0, clip_norm=0.0)
    optimizer = tuned(config, 100, layer_decay=0.5)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, DEEP), optimizer.init(DEEP), DEEP)
    after = optax.apply_updates(DEEP, updates)
    change = jax.tree.map(lambda a, b: float(jnp.mean(b - a)), after, DEEP)
    expected = jax.tree.map(lambda depth: 0.5**depth, DEPTHS)
    assert change == expected


@pytest.mark.parametrize("accumulation", [1, 2])
def test_layers_join_from_the_top_one_an_epoch(accumulation: int) -> None:
    # Decay moves the kernels, and moments every leaf: what is frozen must withstand both.
    config = OptimizerConfig(schedule="constant", weight_decay=0.5, accumulation_steps=accumulation)
    # An epoch is 3 updates, whatever batches are left over.
    steps_per_epoch = 3 * accumulation + accumulation // 2
    optimizer = tuned(config, 100, steps_per_epoch, unfreeze_epochs=2)
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


@pytest.mark.smoke
def test_outputs_of_a_language_model_are_of_depth_0() -> None:
    names = {"softmax_bias": jnp.ones(3), "projection_forward": {"kernel": jnp.ones((2, 2))}}
    depths = output_depths(DEEP | names)
    assert depths == DEPTHS | {"softmax_bias": 0, "projection_forward": {"kernel": 0}}


def test_the_state_grows_by_a_count_only_where_layers_are_frozen() -> None:
    plain = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.constant_schedule(1.0), mask=kernel_mask)
    )
    off, on = (
        tuned(OptimizerConfig(schedule="constant"), 100, 10, unfreeze_epochs=epochs)
        for epochs in (0, 1)
    )
    assert jax.tree.structure(off.init(DEEP)) == jax.tree.structure(plain.init(DEEP))
    assert len(jax.tree.leaves(on.init(DEEP))) == len(jax.tree.leaves(plain.init(DEEP))) + 1


@pytest.mark.slow
def test_a_run_continued_unfreezes_as_an_uninterrupted_one(
    brief_config: Config, tmp_path: Path
) -> None:
    section = FineTuningConfig(unfreeze_epochs=1)
    config = changed(brief_config, recipes={"fine_tuning": section}, training={"ema_decay": 0.0})
    longer = changed(config, training={"epochs": 2})
    train(config, tmp_path / "stopped", recipes=make_recipes(config.recipes), show_progress=False)
    first = load_trained_model(tmp_path / "stopped", "last").params
    for cell in first["recurrent"].values():  # as drawn, after an epoch of the head alone
        np.testing.assert_array_equal(cell["hf"]["bias"], 1)
        np.testing.assert_array_equal(cell["hi"]["bias"], 0)
    assert np.all(first["head"]["bias"] != 0)
    train(longer, tmp_path / "stopped", recipes=make_recipes(longer.recipes), show_progress=False)
    second = load_trained_model(tmp_path / "stopped", "last").params
    jax.tree.map(np.testing.assert_array_equal, first["embedding"], second["embedding"])
    for cell in second["recurrent"].values():
        assert np.all(cell["hi"]["bias"] != 0)
    train(longer, tmp_path / "whole", recipes=make_recipes(longer.recipes), show_progress=False)
    for a, b in zip(leaves(tmp_path / "whole"), leaves(tmp_path / "stopped"), strict=True):
        np.testing.assert_array_equal(a, b)
