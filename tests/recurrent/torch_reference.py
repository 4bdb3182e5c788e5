"""torch's packed layers on the cases of `recurrent_cases`: values and gradients as flat arrays.

The arrays: `weight.NAME` torch's state dict, `outputs`, `state.0` (h_n), `state.1` (c_n), and the
gradients `d_inputs`, `d_initial.0`, `d_initial.1`, `d_weight.NAME`, of the sum of everything times
its cotangent. tests/recurrent/reference/*.npz holds the same names, and the case itself under
`case.FIELD`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax import torch_weights
from tests.recurrent.recurrent_cases import Case, assert_close, run


def run_torch(case: Case, dtype: Any) -> dict[str, np.ndarray]:
    """Runs a freshly made torch layer on packed rows."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    batch_first = not case.time_major
    options = {"LSTM": {"proj_size": case.proj_size}, "RNN": {"nonlinearity": case.nonlinearity}}
    layer = getattr(torch.nn, case.cell)(
        case.inputs.shape[-1],
        case.hidden_size,
        num_layers=case.num_layers,
        bidirectional=case.bidirectional,
        batch_first=batch_first,
        bias=case.use_bias,
        **options.get(case.cell, {}),
    )
    for parameter in layer.parameters():  # wider than torch's own start, so that gates saturate
        torch.nn.init.uniform_(parameter, -0.8, 0.8)
    weights = {f"weight.{name}": value.numpy().copy() for name, value in layer.state_dict().items()}
    layer = layer.to(dtype)
    inputs = torch.tensor(case.inputs, dtype=dtype, requires_grad=True)
    packed = pack_padded_sequence(
        inputs, torch.tensor(case.lengths), batch_first=batch_first, enforce_sorted=False
    )
    initial = None
    if case.initial_state is not None:
        initial = [torch.tensor(s, dtype=dtype, requires_grad=True) for s in case.initial_state]
    given = initial
    if initial is not None:
        given = tuple(initial) if case.cell == "LSTM" else initial[0]
    packed_outputs, states = layer(packed, given)
    states = states if isinstance(states, tuple) else (states,)
    outputs, _ = pad_packed_sequence(packed_outputs, batch_first=batch_first)
    loss = torch.sum(outputs * torch.tensor(case.output_cotangent, dtype=dtype))
    for state, cotangent in zip(states, case.state_cotangents, strict=True):
        loss = loss + torch.sum(state * torch.tensor(cotangent, dtype=dtype))
    loss.backward()

    tensors = {"outputs": outputs, "d_inputs": inputs.grad}
    tensors |= {f"state.{i}": state for i, state in enumerate(states)}
    tensors |= {f"d_initial.{i}": state.grad for i, state in enumerate(initial or ())}
    tensors |= {f"d_weight.{name}": p.grad for name, p in layer.named_parameters()}
    return weights | {
        name: tensor.detach().numpy().astype(np.float32) for name, tensor in tensors.items()
    }


def save_case(case: Case) -> dict[str, np.ndarray]:
    """The fields of a case as flat arrays; the tuples as `case.FIELD.0`, `case.FIELD.1`."""
    arrays = {}
    for field in dataclasses.fields(case):
        value = getattr(case, field.name)
        if isinstance(value, tuple):
            arrays |= {f"case.{field.name}.{i}": array for i, array in enumerate(value)}
        elif value is not None:
            arrays[f"case.{field.name}"] = np.asarray(value)
    return arrays


def load_case(arrays: Mapping[str, np.ndarray]) -> Case:
    """The case that `save_case` saved."""

    def states(field: str) -> tuple[np.ndarray, ...]:
        return tuple(arrays[name] for name in sorted(arrays) if name.startswith(f"case.{field}."))

    return Case(
        cell=str(arrays["case.cell"]),
        num_layers=int(arrays["case.num_layers"]),
        bidirectional=bool(arrays["case.bidirectional"]),
        time_major=bool(arrays["case.time_major"]),
        hidden_size=int(arrays["case.hidden_size"]),
        inputs=arrays["case.inputs"],
        lengths=arrays["case.lengths"],
        initial_state=states("initial_state") or None,
        output_cotangent=arrays["case.output_cotangent"],
        state_cotangents=states("state_cotangents"),
        use_bias=bool(arrays["case.use_bias"]) if "case.use_bias" in arrays else True,
        proj_size=int(arrays["case.proj_size"]) if "case.proj_size" in arrays else 0,
        nonlinearity=str(arrays["case.nonlinearity"]) if "case.nonlinearity" in arrays else "tanh",
    )


def gradient_tree(arrays: Mapping[str, np.ndarray], cell: str) -> Any:
    """torch's weight gradients as a tree of ours.

    Where our one bias is the sum of torch's two, its gradient is that of either, not their sum.
    """
    gradients = {
        name.removeprefix("d_weight."): array.copy()
        for name, array in arrays.items()
        if name.startswith("d_weight.")
    }
    for name, array in gradients.items():
        if name.startswith("bias_ih"):
            array[: len(array) * 2 // 3 if cell == "GRU" else None] = 0
    return torch_weights.from_torch(gradients)


def compare_with_torch(case: Case, arrays: Mapping[str, np.ndarray], **options: Any) -> None:
    """Ours with torch's weights: outputs and states within 1e-5, gradients within 1e-4 relative."""
    weights = {
        name.removeprefix("weight."): array
        for name, array in arrays.items()
        if name.startswith("weight.")
    }
    values, gradients = run(case, torch_weights.from_torch(weights), **options)
    states = len(case.state_cotangents)
    # A ReLU's states have no bound: those of 36 are 4e-6 apart in float32.
    grows = case.nonlinearity == "relu"
    assert_close(values["outputs"], arrays["outputs"], 1e-5, relative=grows)
    expected = tuple(arrays[f"state.{i}"] for i in range(states))
    assert_close(values["states"], expected, 1e-5, relative=grows)
    assert_close(gradients["inputs"], arrays["d_inputs"], 1e-4)
    assert_close(gradients["params"], gradient_tree(arrays, case.cell), 1e-4)
    if case.initial_state is not None:
        expected = tuple(arrays[f"d_initial.{i}"] for i in range(states))
        assert_close(gradients["initial_state"], expected, 1e-4)
