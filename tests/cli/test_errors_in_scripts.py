"""A mistake in a user's own script: one clear line of `UserError` ends the traceback; status 1."""

import subprocess
import sys

import pytest

LAYER = "import jax, jax.numpy as jnp\nfrom lstm_flax import LSTM\n"
RUN = LAYER + "LSTM(4).init(jax.random.key(0), jnp.ones((2, 3, 5)), jnp.array({lengths}))"
WEIGHTS = (
    "import numpy as np\nfrom lstm_flax import torch_weights\n"
    "weights = {{'weight_ih_l0': np.ones((8, 3)), 'weight_hh_l0': np.ones((8, 2)){more}}}\n"
    "torch_weights.from_torch(weights)"
)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            RUN.format(lengths=[3, 0]),
            "lengths must be from 1 to 3 (the time axis of inputs), but row 1 has 0",
        ),
        (
            RUN.format(lengths=[4, 1]),
            "lengths must be from 1 to 3 (the time axis of inputs), but row 0 has 4",
        ),
        (
            LAYER + "LSTM(16, 64, 2)",
            "LSTM(16, 64, ...): give hidden_size alone by position, num_layers=... and the rest by "
            "name; unlike torch, leave out the size of the inputs",
        ),
        (
            WEIGHTS.format(more=", 'weight_hr_l0': np.ones((1, 2))"),
            "torch weights: weight_hr_l0 has shape (1, 2), which does not fit the (2, 2) expected "
            "from weight_ih_l0 and weight_hh_l0; pass the state dict of one layer",
        ),
        (
            WEIGHTS.format(more=", 'bias_ih_l0': np.ones(8)"),
            "torch weights: bias_hh_l0 is missing; pass a whole state dict",
        ),
    ],
    ids=["length 0", "length beyond T", "arguments in torch's order", "proj_size", "one bias"],
)
def test_a_script_s_mistake_is_one_line_and_status_one(script: str, expected: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    # From inside a layer, jax adds that it has left out frames of its own.
    lines = done.stderr.split("\n--------------------\nFor simplicity, JAX")[0].splitlines()
    assert lines[-1] == f"lstm_flax.errors.UserError: {expected}"
