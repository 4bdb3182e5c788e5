"""How far gradients reach in a trained model: the benchmark against the layers themselves."""

from typing import Any

import cells
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.models import TextClassifier, init_params
from lstm_flax.models.classifier import CELLS


@pytest.mark.parametrize("cell", CELLS)
def test_norms_are_those_of_the_layers_started_on_the_way(cell: str) -> None:
    model = TextClassifier(20, 2, embedding_size=4, hidden_size=5, num_layers=2, cell=cell)
    params: Any = init_params(model, jax.random.key(0))
    token_ids = np.random.default_rng(0).integers(4, 20, (3, 9)).astype(np.int32)
    labels, distance = np.array([0, 1, 1]), 4
    with jax.enable_x64(True):
        norms = cells.gradient_norms(model, params, token_ids, labels)
    layer = CELLS[cell](5, num_layers=2)
    variables = {"params": params["recurrent"]}
    x = params["embedding"]["embedding"][token_ids]
    _, middle = layer.apply(variables, x[:, :-distance])
    states = middle if cell == "lstm" else (middle,)

    def last_of(final: Any) -> jax.Array:
        return (final[0] if cell == "lstm" else final)[-1]

    def loss(last: jax.Array) -> jax.Array:
        logits = last @ params["head"]["kernel"] + params["head"]["bias"]
        return -jnp.sum(jax.nn.log_softmax(logits)[jnp.arange(3), labels])

    def loss_from_the_middle(h: jax.Array) -> jax.Array:
        start = (jnp.stack([states[0][0], h]), *states[1:])
        start = start if cell == "lstm" else start[0]
        return loss(last_of(layer.apply(variables, x[:, -distance:], initial_state=start)[1]))

    at_distance = jax.grad(loss_from_the_middle)(states[0][-1])
    at_end = jax.grad(loss)(last_of(layer.apply(variables, x)[1]))
    expected = np.linalg.norm(at_distance, axis=-1).mean() / np.linalg.norm(at_end, axis=-1).mean()
    assert norms.shape == (9,)
    assert norms[0] == 1
    np.testing.assert_allclose(norms[distance], expected, rtol=1e-5)
