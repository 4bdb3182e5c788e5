"""Merged directions: each layer's two outputs are summed or averaged, by every implementation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import torch_weights
from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.merging import merge_directions
from tests.recurrent.recurrent_cases import LAYERS, apply, as_states, assert_close, make

RNG = np.random.default_rng(3)


def by_layer(layer: Any, params: Any, x: jax.Array, lengths: Any) -> tuple[Any, list[Any]]:
    """The same stack from layers of one direction each, their outputs merged by hand."""
    one = LAYERS[layer.spec.name](layer.hidden_size, implementation="scan")
    states = []
    for index in range(layer.num_layers):
        sides = []
        for direction in range(2):
            cell = {direction_name(0, 0): params[direction_name(index, direction)]}
            read = reverse_rows(x, lengths) if direction == 1 else x
            outputs, final = one.apply({"params": cell}, read, lengths)
            sides.append(reverse_rows(outputs, lengths) if direction == 1 else outputs)
            states.append(as_states(final))
        x = sides[0] + sides[1]
        x = x / 2 if layer.direction_merge == "mean" else x
    return x, [jnp.concatenate(arrays) for arrays in zip(*states, strict=True)]


def reverse_rows(x: jax.Array, lengths: Any) -> jax.Array:
    rows = [jnp.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(x, lengths, strict=True)]
    return jnp.stack(rows)


@pytest.mark.parametrize("merge", ["sum", "mean"])
@pytest.mark.parametrize(
    ("cell", "implementation"), [("LSTM", "scan"), ("LSTM", "fused"), ("GRU", "scan")]
)
def test_every_layer_s_outputs_are_merged(cell: str, implementation: str, merge: str) -> None:
    layer, variables, inputs, lengths = make(
        cell, implementation=implementation, direction_merge=merge
    )
    lengths = np.asarray(lengths)
    assert variables["params"]["layers_1_forward"]["ir" if cell == "GRU" else "ii"][
        "kernel"
    ].shape == (5, 5)
    weights = RNG.normal(size=(4, 6, 5)).astype(np.float32)

    def loss(params: Any, inputs: Any, ours: bool) -> Any:
        if ours:
            outputs, states = layer.apply({"params": params}, inputs, lengths)
            states = list(as_states(states))
        else:
            outputs, states = by_layer(layer, params, inputs, lengths)
        return jnp.sum(outputs * weights) + sum(map(jnp.sum, states)), (outputs, states)

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    ours, expected = (step(variables["params"], inputs, side) for side in (True, False))
    assert_close(ours, expected, 1e-5)


def test_states_are_those_of_concatenation() -> None:
    layer, variables, inputs, lengths = make(num_layers=1)
    summed = layer.clone(direction_merge="sum")
    (outputs, states), (merged, same) = (
        apply(each, variables, inputs, lengths) for each in (layer, summed)
    )
    np.testing.assert_array_equal(merged, outputs[..., :5] + outputs[..., 5:])
    for a, b in zip(states, same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_direction_has_nothing_to_merge() -> None:
    layer, variables, inputs, lengths = make(bidirectional=False)
    mean = layer.clone(direction_merge="mean")
    for a, b in zip(
        jax.tree.leaves(apply(layer, variables, inputs, lengths)),
        jax.tree.leaves(apply(mean, variables, inputs, lengths)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_unknown_merges_are_named() -> None:
    layer, variables, inputs, lengths = make()
    with pytest.raises(UserError, match=r"direction_merge = 'ave': choose concat or sum or mean"):
        layer.clone(direction_merge="ave").apply(variables, inputs, lengths)


def test_torch_has_no_merged_layers() -> None:
    _, variables, _, _ = make(direction_merge="mean")
    with pytest.raises(UserError, match=r"layers_1_forward: reads 5 .*torch only concatenates"):
        torch_weights.to_torch(variables["params"])
    _, alone, _, _ = make(direction_merge="mean", num_layers=1)
    assert len(torch_weights.to_torch(alone["params"])) == 8  # the merge comes after the layer
    with pytest.raises(UserError, match=r"direction_merge = 'sum': only 'concat'"):
        torch_weights.classifier_to_torch({"direction_merge": "sum"}, {})


def test_weights_of_torch_fit_no_merged_stack() -> None:
    _, variables, inputs, _ = make()
    layer, _, _, _ = make(direction_merge="sum")
    params = torch_weights.from_torch(torch_weights.to_torch(variables["params"]))
    with pytest.raises(UserError, match=r"5 features.*layers_1_forward are for 10 features"):
        layer.apply({"params": params}, inputs)


def test_merging_keeps_the_type() -> None:
    assert merge_directions(jnp.ones((1, 4), jnp.bfloat16), "mean").dtype == jnp.bfloat16
