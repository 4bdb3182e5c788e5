"""One layer on one batch, computed by this package, by Flax and by torch."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from measuring import HAS_TORCH, torch_device

from lstm_flax import LSTM, torch_weights
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.implementations.cudnn import why_not_cudnn


@dataclasses.dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    batch: int
    width: int
    hidden: int
    layers: int
    directions: int
    dtype: str

    def flops(self, backward: bool) -> int:
        """Counts operations of the products; the backward pass has twice the forward pass's."""
        rows = self.batch * self.width
        total = 0
        for layer in range(self.layers):
            features = self.hidden * (1 if layer == 0 else self.directions)
            total += 2 * rows * self.directions * (features + self.hidden) * 4 * self.hidden
        return total * (3 if backward else 1)


@dataclasses.dataclass(frozen=True)
class Batch:
    """The input of every candidate: numpy arrays, batch first, and one parameter tree."""

    inputs: np.ndarray
    lengths: np.ndarray
    cotangent: np.ndarray
    params: Any


Step = Callable[[], Any]  # () -> outputs, or (outputs, input gradients)


def make_batch(setting: Setting) -> Batch:
    """Makes random inputs, `LSTM`'s initial weights, and a cotangent, zero in the padding."""
    rng = np.random.default_rng(0)
    shape = (setting.batch, setting.width)
    lengths = rng.integers(3 * setting.width // 4, setting.width + 1, setting.batch)
    lengths[0] = setting.width
    mask = (np.arange(setting.width) < lengths[:, None])[..., None]
    inputs = rng.normal(size=(*shape, setting.hidden)).astype(np.float32) * mask
    cotangent = rng.normal(size=(*shape, setting.directions * setting.hidden)) * mask
    layer = our_layer(setting, "scan")
    params = jax.jit(layer.init)(jax.random.key(0), inputs[:1, :2])["params"]
    return Batch(inputs, lengths.astype(np.int32), cotangent.astype(np.float32), params)


def our_layer(setting: Setting, implementation: str) -> LSTM:
    """Makes the `lstm_flax.LSTM` of this setting."""
    return LSTM(
        setting.hidden,
        num_layers=setting.layers,
        bidirectional=setting.directions == 2,
        implementation=implementation,
        dtype=jnp.dtype(setting.dtype),
    )


class FlaxStack(nn.Module):
    """The same layers written with Flax alone."""

    setting: Setting

    @nn.compact
    def __call__(self, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """Maps [B, T, E] to [B, T, D*H]; whatever Flax leaves in the padding stays there."""
        x = inputs.astype(self.setting.dtype)
        for layer in range(self.setting.layers):
            rnns = []
            for direction in range(self.setting.directions):
                # Named like ours, so the cells find the same parameters.
                name = direction_name(layer, direction)
                cell = nn.OptimizedLSTMCell(
                    self.setting.hidden, dtype=jnp.dtype(self.setting.dtype), name=name
                )
                rnns.append(nn.RNN(cell))
            run = nn.Bidirectional(*rnns) if len(rnns) == 2 else rnns[0]
            x = run(x, seq_lengths=lengths)
        return x


def jax_step(
    apply: Callable[[Any, jax.Array, jax.Array], jax.Array], params: Any, batch: Batch, train: bool
) -> Step:
    """Compiles a step of `apply(params, inputs, lengths)`."""
    arrays = jax.device_put((params, batch.inputs, batch.lengths))
    cotangent = jax.device_put(batch.cotangent)

    def loss(params: Any, inputs: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = apply(params, inputs, lengths)
        return jnp.sum(outputs.astype(jnp.float32) * cotangent), outputs

    if train:
        compiled = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))

        def step() -> Any:
            gradients, outputs = jax.block_until_ready(compiled(*arrays))
            return outputs, gradients[1]
    else:
        forward = jax.jit(apply)

        def step() -> Any:
            return jax.block_until_ready(forward(*arrays))

    return step


def torch_step(setting: Setting, batch: Batch, train: bool, packed: bool) -> Step:
    """Makes torch.nn.LSTM with the same weights, on the GPU if there is one."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    device = torch_device()
    layer = torch.nn.LSTM(
        setting.hidden,
        setting.hidden,
        num_layers=setting.layers,
        bidirectional=setting.directions == 2,
        batch_first=True,
    )
    weights = torch_weights.to_torch(jax.tree.map(np.asarray, batch.params))
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    layer = layer.to(device, getattr(torch, setting.dtype))
    inputs = torch.tensor(batch.inputs).to(device, getattr(torch, setting.dtype))
    inputs.requires_grad_(train)
    cotangent = torch.tensor(batch.cotangent).to(inputs)
    lengths = torch.from_numpy(batch.lengths)

    def forward() -> Any:
        if not packed:
            return layer(inputs)[0]
        rows = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(layer(rows)[0], batch_first=True)[0]

    def step() -> Any:
        if train:
            layer.zero_grad()
            inputs.grad = None
            outputs = forward()
            torch.sum(outputs * cotangent).backward()
            result: Any = (outputs.detach(), inputs.grad)
        else:
            with torch.no_grad():
                result = forward()
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    return step


def candidates(
    setting: Setting, batch: Batch, names: Sequence[str], train: bool
) -> dict[str, Step]:
    """Returns the steps that can run here, by name."""
    steps: dict[str, Step] = {}
    for name in names:
        if name.startswith("torch"):
            if HAS_TORCH:
                steps[name] = torch_step(setting, batch, train, packed=name == "torch_packed")
        elif name == "flax":
            stack = FlaxStack(setting)
            steps[name] = jax_step(
                lambda params, inputs, lengths, stack=stack: stack.apply(
                    {"params": params}, inputs, lengths
                ),
                batch.params,
                batch,
                train,
            )
        elif name != "cudnn" or why_not_cudnn("LSTM", setting.dtype, False) is None:
            layer = our_layer(setting, name)
            steps[name] = jax_step(
                lambda params, inputs, lengths, layer=layer: layer.apply(
                    {"params": params}, inputs, lengths
                )[0],
                batch.params,
                batch,
                train,
            )
    return steps
