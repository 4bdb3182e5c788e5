"""Every layer inside `jax.shard_map` with its default checks: values and gradients as outside."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from tests.recurrent.recurrent_cases import LAYERS, as_states

ROWS = PartitionSpec("data")
CASES = [(cell, "scan") for cell in LAYERS] + [("LSTM", "fused")]


@pytest.mark.parametrize(("cell", "implementation"), CASES)
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_divided_among_devices(cell: str, implementation: str, training: bool) -> None:
    layer = LAYERS[cell](4, bidirectional=True, implementation=implementation)
    inputs = jax.random.normal(jax.random.key(0), (4, 5, 3))
    lengths = jnp.array([5, 1, 3, 2])
    params = layer.init(jax.random.key(1), inputs)["params"]

    def outputs(params: Any, inputs: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs, states = layer.apply({"params": params}, inputs, lengths)
        return outputs, jnp.sum(jnp.stack([state**2 for state in as_states(states)]), axis=(0, 1))

    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))  # the checks are those of any number
    specs = (PartitionSpec(), ROWS, ROWS)
    divided = jax.shard_map(outputs, mesh=mesh, in_specs=specs, out_specs=(ROWS, ROWS))

    def loss(function: Any, params: Any) -> jax.Array:
        return sum(jnp.sum(jnp.sin(part)) for part in function(params, inputs, lengths))

    if training:
        results = [jax.jit(jax.grad(lambda p, f=f: loss(f, p)))(params) for f in (outputs, divided)]
    else:
        results = [jax.jit(f)(params, inputs, lengths) for f in (outputs, divided)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *results)
