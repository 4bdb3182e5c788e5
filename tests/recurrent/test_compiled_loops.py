"""What XLA makes of the loops: no step touches a whole sequence."""

import jax
import jax.numpy as jnp
import pytest
from hlo import loop_instructions, of_whole_sequences

from lstm_flax import GRU, LSTM, RNN

T, B, E, H = 23, 8, 16, 16


def _optimized(layer: LSTM | GRU | RNN, train: bool) -> str:
    inputs = jnp.ones((B, T, E))
    lengths = jnp.arange(T - B + 1, T + 1)
    variables = layer.init(jax.random.key(0), inputs)
    rngs = {"dropout": jax.random.key(1)}

    def loss(variables: dict, inputs: jax.Array) -> jax.Array:
        outputs, _ = layer.apply(variables, inputs, lengths, deterministic=not train, rngs=rngs)
        return jnp.sum(outputs.astype(jnp.float32) ** 2)

    function = jax.grad(loss, argnums=(0, 1)) if train else loss
    return jax.jit(function).lower(variables, inputs).compile().as_text()


@pytest.mark.parametrize("train", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("cell", "implementation", "rate"),
    [(LSTM, "fused", 0.0), (LSTM, "fused", 0.3), (LSTM, "scan", 0.0), (GRU, "scan", 0.0)],
    ids=["fused", "fused with dropout", "scan", "GRU"],
)
def test_no_step_converts_or_copies_a_whole_sequence(
    cell: type, implementation: str, rate: float, dtype: str, train: bool
) -> None:
    layer = cell(
        H,
        bidirectional=True,
        implementation=implementation,
        dtype=jnp.dtype(dtype),
        recurrent_dropout=rate,
        recurrent_dropout_per_step=rate > 0,
    )
    inside = loop_instructions(_optimized(layer, train))
    assert any(f"[{T},{B}," in line for line in inside)  # the loops are there to look at
    assert not of_whole_sequences(inside, T)
