"""Random shapes of recurrent layers, and how to run one of ours on them."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lstm_flax

LAYERS = {"LSTM": lstm_flax.LSTM, "GRU": lstm_flax.GRU, "RNN": lstm_flax.RNN}
CELLS = sorted(LAYERS)


@dataclasses.dataclass(frozen=True)
class Case:
    """One random shape with its arrays.

    `initial_state` and the cotangents of the final states are tuples: (h, c), or (h,).
    """

    cell: str
    num_layers: int
    bidirectional: bool
    time_major: bool
    hidden_size: int
    inputs: np.ndarray
    lengths: np.ndarray
    initial_state: tuple[np.ndarray, ...] | None
    output_cotangent: np.ndarray
    state_cotangents: tuple[np.ndarray, ...]
    use_bias: bool = True
    proj_size: int = 0
    nonlinearity: str = "tanh"

    def build(self, **options: Any) -> Any:
        """Our layer of this shape."""
        for name in ("proj_size", "nonlinearity"):
            if hasattr(LAYERS[self.cell], name):
                options[name] = getattr(self, name)
        return LAYERS[self.cell](
            self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            time_major=self.time_major,
            use_bias=self.use_bias,
            **options,
        )


def random_case(seed: int, cell: str = "LSTM", proj_size: int = 0, **options: Any) -> Case:
    """Layers 1 to 3, one or two directions, lengths 1 and T among them, batch or time first.

    Args:
        seed: of the shape and the arrays.
        cell: `LSTM`, `GRU` or `RNN`.
        proj_size: of the LSTM; the hidden size is then `proj_size` larger.
        options: further fields of `Case`.
    """
    rng = np.random.default_rng(seed)
    layers, directions = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    batch, width = int(rng.integers(2, 6)), int(rng.integers(1, 10))
    features, hidden = int(rng.integers(1, 6)), int(rng.integers(1, 7)) + proj_size
    lengths = rng.integers(1, width + 1, batch)
    lengths[rng.permutation(batch)[:2]] = (1, width)
    states = 2 if cell == "LSTM" else 1
    time_major = bool(rng.integers(2))

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def sequence(size: int) -> np.ndarray:
        return normal(width, batch, size) if time_major else normal(batch, width, size)

    def state() -> tuple[np.ndarray, ...]:
        sizes = (proj_size or hidden, hidden)[:states]
        return tuple(normal(layers * directions, batch, size) for size in sizes)

    return Case(
        cell=cell,
        num_layers=layers,
        bidirectional=directions == 2,
        time_major=time_major,
        hidden_size=hidden,
        inputs=sequence(features),
        lengths=lengths,
        initial_state=state() if rng.integers(2) else None,
        output_cotangent=sequence(directions * (proj_size or hidden)),
        state_cotangents=state(),
        proj_size=proj_size,
        **options,
    )


def random_variables(layer: Any, inputs: Any, seed: int, *more: Any) -> Any:
    """Variables of a layer, biases too, uniform in [-0.5, 0.5]; `more` is of its arguments.

    They are drawn by NumPy: the layer's own start takes seconds to compile.
    """
    return random_like(jax.eval_shape(layer.init, jax.random.key(0), inputs, *more), seed)


def random_like(shapes: Any, seed: int) -> Any:
    """A tree of arrays of the shapes and types given, uniform in [-0.5, 0.5]."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-0.5, 0.5, leaf.shape).astype(leaf.dtype)), shapes
    )


def make(cell: str = "LSTM", seed: int = 0, **options: Any) -> tuple[Any, Any, Any, Any]:
    """A two-layer bidirectional layer with its parameters, inputs [4, 6, 3] and lengths."""
    options = {"num_layers": 2, "bidirectional": True, "implementation": "scan"} | options
    layer = LAYERS[cell](5, **options)
    inputs = jax.random.normal(jax.random.key(seed), (4, 6, 3))
    return layer, random_variables(layer, inputs, seed), inputs, jnp.array([6, 1, 4, 3])


@functools.partial(jax.jit, static_argnames=("layer", "deterministic"))
def apply(layer: Any, variables: Any, *arguments: Any, **options: Any) -> Any:
    """`layer.apply` in one program: operation by operation it takes seconds to compile."""
    return layer.apply(variables, *arguments, **options)


def as_states(states: Any) -> tuple[Any, ...]:
    """(h_n, c_n), or (h_n,) where a layer returns h_n alone."""
    return states if isinstance(states, tuple) else (states,)


def run(
    case: Case, params: Any, seed: int | None = None, **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and gradients of our layer, both as dictionaries of float32 arrays.

    Args:
        case: the shape.
        params: of the layer.
        seed: of dropout; None runs deterministically.
        options: of the layer.
    """
    layer = case.build(**options)
    rngs = None if seed is None else {"dropout": jax.random.key(seed)}

    def loss(
        params: Any, inputs: Any, initial: Any, lengths: Any
    ) -> tuple[jax.Array, dict[str, Any]]:
        given = initial
        if initial is not None and case.cell != "LSTM":
            (given,) = initial
        outputs, states = layer.apply(
            {"params": params}, inputs, lengths, given, deterministic=seed is None, rngs=rngs
        )
        total = jnp.sum(outputs.astype(jnp.float32) * case.output_cotangent)
        for array, cotangent in zip(as_states(states), case.state_cotangents, strict=True):
            total += jnp.sum(array.astype(jnp.float32) * cotangent)
        return total, {"outputs": outputs, "states": as_states(states)}

    step = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
    (d_params, d_inputs, d_initial), values = step(
        params, case.inputs, case.initial_state, case.lengths
    )
    return values, {"params": d_params, "inputs": d_inputs, "initial_state": d_initial}


def assert_close(actual: Any, expected: Any, tolerance: float, relative: bool = True) -> None:
    """Compares trees; `relative` means relative to the largest entry of all of `expected`."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    pairs = [
        (np.asarray(a, np.float32), np.asarray(e, np.float32))
        for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    ]
    largest = max((float(np.abs(e).max()) for _, e in pairs), default=1.0) if relative else 1.0
    for a, e in pairs:
        assert a.shape == e.shape
        assert np.isfinite(a).all()
        assert float(np.abs(a - e).max()) <= tolerance * largest
