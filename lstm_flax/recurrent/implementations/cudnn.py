"""The LSTM on NVIDIA GPUs: cuDNN, through `jax.experimental.rnn`.

>>> why_not_cudnn("GRU", jnp.float32, recurrent_dropout=False)
'jax.experimental.rnn has no GRU'

Parameters and results are those of the reference. cuDNN's flat weight vector is built inside the
step, so gradients come back in the tree of Flax's cells. cuDNN computes in float32, with products
in TensorFloat-32 unless `jax.default_matmul_precision` asks for `float32` or `highest`. It has no
recurrent dropout, no batching rule for `vmap`, and first-order reverse mode only.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from lstm_flax.recurrent.cells import CellParams
from lstm_flax.recurrent.implementations.joined_weights import join_weights
from lstm_flax.recurrent.implementations.scan import DirectionStart


def why_not_cudnn(cell: str, dtype: Any, recurrent_dropout: bool) -> str | None:
    """Returns the reason why cuDNN cannot run a layer in this process, or None if it can.

    >>> why_not_cudnn("LSTM", jnp.bfloat16, recurrent_dropout=False)
    'jax.experimental.rnn computes in float32, not bfloat16'

    Args:
        cell: `LSTM`, `GRU` or `RNN`.
        dtype: dtype of the products.
        recurrent_dropout: True if h_{t-1} is dropped in this call.
    """
    if cell != "LSTM":
        return f"jax.experimental.rnn has no {cell}"
    if jnp.dtype(dtype) != jnp.float32:
        return f"jax.experimental.rnn computes in float32, not {jnp.dtype(dtype).name}"
    if recurrent_dropout:
        return "cuDNN has no recurrent dropout"
    device = jax.devices()[0]
    if device.platform != "gpu" or "cuda" not in getattr(device.client, "platform_version", ""):
        return f"it needs an NVIDIA GPU, and the device here is {device.device_kind!r}"
    return None


def pack_weights(cells: Sequence[CellParams]) -> jax.Array:
    """Joins the parameters of all layers and directions into cuDNN's flat weight vector.

    >>> cell = {f"i{gate}": {"kernel": jnp.ones((3, 4))} for gate in "ifgo"}
    >>> cell |= {f"h{gate}": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)} for gate in "ifgo"}
    >>> pack_weights([cell]).shape  # 4 * (3 * 4 + 4 * 4 + 4 + 4)
    (144,)

    The kernels of all directions come first, then the biases: `W_ih` [4H, E], `W_hh` [4H, H], ...,
    `b_ih` [4H], `b_hh` [4H], ..., with the gates i, f, g, o stacked. This is the layout that
    `jax.experimental.rnn.unpack_lstm_weights` reads. Flax's cell has only the second bias; the
    first is zero.
    """
    weights = [join_weights(cell) for cell in cells]
    kernels = [k.T.ravel() for weight in weights for k in (weight.inputs, weight.state)]
    biases = [b for weight in weights for b in (jnp.zeros_like(weight.bias), weight.bias)]
    return jnp.concatenate([*kernels, *biases])


def cudnn_layers(
    x: jax.Array,
    cells: Sequence[CellParams],
    starts: Sequence[DirectionStart],
    lengths: jax.Array | None,
    bidirectional: bool,
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """Computes one or more layers in one call.

    >>> from lstm_flax import LSTM  # that calls it:
    >>> layer = LSTM(4, implementation="cudnn")
    >>> layer.init(jax.random.key(0), jnp.ones((2, 5, 3)))  # doctest: +SKIP

    Args:
        x: f32[T, B, E].
        cells: parameters of each direction of each layer, in torch's order.
        starts: initial states, likewise.
        lengths: i32[B] from 1 to T, or None if all steps are valid.
        bidirectional: D = 2.

    Returns:
        outputs f32[T, B, D*H], zero past each row's length, and the final (h_n, c_n), each
        f32[B, H], of every direction.
    """
    width, batch, features = x.shape
    if lengths is None:
        lengths = jnp.full((batch,), width, jnp.int32)
    outputs, h_n, c_n = rnn.lstm(
        x.swapaxes(0, 1),
        jnp.stack([start.h_0 for start in starts]),
        jnp.stack([start.c_0 for start in starts if start.c_0 is not None]),
        pack_weights(cells).astype(x.dtype),
        lengths,
        features,
        starts[0].h_0.shape[-1],
        len(cells) // (2 if bidirectional else 1),
        0.0,
        bidirectional,
        _precision(),
    )
    return outputs.swapaxes(0, 1), list(zip(h_n, c_n, strict=True))


def _precision() -> jax.lax.Precision:
    """Returns HIGHEST for full float32, or HIGH (TensorFloat-32) for every lower precision."""
    name = getattr(jax.config, "jax_default_matmul_precision", None)
    full = name is not None and str(name).lower() in ("highest", "float32", "f32_f32_f32")
    return jax.lax.Precision.HIGHEST if full else jax.lax.Precision.HIGH
