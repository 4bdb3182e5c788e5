"""A classifier as an ONNX graph: Gather, LSTM (or GRU, RNN), pooling, Gemm.

The recurrent operators are ONNX's own and take the lengths (`sequence_lens`); batch and time are
dynamic. Reference: https://onnx.ai/onnx/operators/onnx__LSTM.html

Inputs: token_ids i32[batch, time], lengths i32[batch] and, for a model with token features,
token_features f32[batch, time, F]. Output: logits f32[batch, C].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lstm_flax.models.classifier import TextClassifier
from lstm_flax.types import PAD_ID

OPSET, IR_VERSION = 17, 8
# ONNX's order of torch's gates: i f g o -> i o f c, r z n -> z r h.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_LOWEST = np.float32(np.finfo(np.float32).min)


def build_onnx(
    model: TextClassifier, state_dict: Mapping[str, np.ndarray], weights: str = "float32"
) -> bytes:
    """Builds and checks the serialised graph of a classifier.

    Args:
        model: its attributes.
        state_dict: its parameters, see `to_state_dict`.
        weights: how matrices are stored: `float32`, `float16`, or `int8` with one scale per row.
            They are converted back to float32 before use: a smaller file, the same arithmetic.
    """
    graph = _Graph(weights)
    ids, lengths = "token_ids", "lengths"
    width = graph.add("Gather", graph.add("Shape", ids), graph.number(1, np.int64), axis=0)
    steps = graph.add("Range", graph.number(0, np.int64), width, graph.number(1, np.int64))
    column = graph.add("Unsqueeze", lengths, graph.numbers([1]))
    mask = graph.add("Less", graph.add("Cast", steps, to=TensorProto.INT32), column)  # [B, T]
    wide_mask = graph.add("Unsqueeze", mask, graph.numbers([2]))
    # Ids past a row's length are not looked up.
    ids = graph.add("Where", mask, ids, graph.number(PAD_ID, np.int32))
    x = graph.lookup(state_dict["embedding.weight"], ids)
    if model.num_token_features:
        added = graph.add("MatMul", "token_features", graph.matrix(state_dict["ngrams.weight"].T))
        x = graph.add("Add", x, added)
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    last = ""
    for layer in range(model.num_layers):
        x, last = _layer(graph, model, state_dict, layer, x)
    outputs = graph.add("Transpose", x, perm=[1, 0, 2])
    pooled = _pool(graph, model.pooling, state_dict, outputs, last, wide_mask, column)
    logits = graph.linear(pooled, state_dict, "head")
    if model.votes_order:
        sums = graph.add("ReduceSum", "token_features", graph.numbers([1]), keepdims=0)
        root = graph.add("Sqrt", graph.add("Cast", column, to=TensorProto.FLOAT))
        votes = graph.linear(graph.add("Div", sums, root), state_dict, "votes")
        logits = graph.add("Add", logits, votes)
    if model.head == "sigmoid":
        logits = graph.add("Concat", graph.add("Sub", logits, logits), logits, axis=1)
    graph.add("Identity", logits, output="logits")
    return _serialize(graph, model)


class _Graph:
    """Nodes and stored arrays, each with a unique name."""

    def __init__(self, weights: str) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.stored: list[Any] = []

    def add(
        self, operator: str, *inputs: str, output: str = "", outputs: int = 1, **fields: Any
    ) -> Any:
        """Adds one operator; returns the name of its output, or of its several outputs."""
        number = len(self.nodes)
        names = [output or f"{operator}_{number}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **fields))
        return names[0] if outputs == 1 else names

    def store(self, array: np.ndarray) -> str:
        """Adds a constant array."""
        name = f"stored_{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: Any, dtype: Any = np.float32) -> str:
        """Adds a constant scalar."""
        return self.store(np.array(value, dtype))

    def numbers(self, values: list[int]) -> str:
        """Adds a constant list of i64, for example axes."""
        return self.store(np.array(values, np.int64))

    def matrix(self, array: np.ndarray) -> str:
        """Adds a weight f32[..., n], stored according to `weights` and converted to float32."""
        if self.weights == "float32":
            return self.store(array)
        if self.weights == "float16":
            return self.add("Cast", self.store(array.astype(np.float16)), to=TensorProto.FLOAT)
        whole, scale = quantize(array)
        back = self.add("Cast", self.store(whole), to=TensorProto.FLOAT)
        return str(self.add("Mul", back, self.store(scale)))

    def lookup(self, table: np.ndarray, ids: str) -> str:
        """Looks up rows of a table; only these rows are converted back to float32."""
        if self.weights == "float32":
            return str(self.add("Gather", self.store(table), ids))
        if self.weights == "float16":
            rows = self.add("Gather", self.store(table.astype(np.float16)), ids)
            return str(self.add("Cast", rows, to=TensorProto.FLOAT))
        whole, scale = quantize(table)
        rows = self.add("Cast", self.add("Gather", self.store(whole), ids), to=TensorProto.FLOAT)
        return str(self.add("Mul", rows, self.add("Gather", self.store(scale), ids)))

    def linear(self, x: str, state_dict: Mapping[str, np.ndarray], name: str) -> str:
        """Adds a linear layer by its name in the state dict: [..., n] -> [..., m]."""
        product = self.add("MatMul", x, self.matrix(state_dict[f"{name}.weight"].T))
        if f"{name}.bias" not in state_dict:
            return str(product)
        return str(self.add("Add", product, self.store(state_dict[f"{name}.bias"])))


def quantize(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds to 255 equal steps around zero, scaled by row: f32[..., n] -> i8[..., n], f32[..., 1].

    >>> whole, scale = quantize(np.array([[1.0, -2.0, 0.1]], np.float32))
    >>> whole.tolist(), scale.shape
    ([[64, -127, 6]], (1, 1))
    """
    scale = np.abs(array).max(axis=-1, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.round(array / scale).astype(np.int8), scale


def _layer(
    graph: _Graph,
    model: TextClassifier,
    state_dict: Mapping[str, np.ndarray],
    layer: int,
    x: str,
) -> tuple[str, str]:
    """Adds one recurrent layer: [T, B, E] -> outputs [T, B, D*H] and final states [B, D*H]."""
    suffixes = [f"_l{layer}", f"_l{layer}_reverse"][: 1 + model.bidirectional]

    def arrays(kind: str) -> np.ndarray:
        """Returns [D, G*H, ...], with the gates in ONNX's order."""
        found = [state_dict[f"recurrent.{kind}{suffix}"] for suffix in suffixes]
        gates = [np.split(array, len(_GATES[model.cell])) for array in found]
        return np.stack([np.concatenate([g[k] for k in _GATES[model.cell]]) for g in gates])

    biases = np.concatenate([arrays("bias_ih"), arrays("bias_hh")], axis=1)
    fields: dict[str, Any] = {"hidden_size": model.hidden_size}
    fields["direction"] = "bidirectional" if model.bidirectional else "forward"
    if model.cell == "gru":
        fields["linear_before_reset"] = 1
    given = [x, graph.matrix(arrays("weight_ih")), graph.matrix(arrays("weight_hh"))]
    outputs, h_n = graph.add(
        model.cell.upper(), *given, graph.store(biases), "lengths", outputs=2, **fields
    )
    joined = graph.numbers([0, 0, -1])  # [T, B, D, H] -> [T, B, D*H]; [B, D, H] -> [B, D*H]
    x = graph.add("Reshape", graph.add("Transpose", outputs, perm=[0, 2, 1, 3]), joined)
    last = graph.add("Transpose", h_n, perm=[1, 0, 2])
    return x, graph.add("Reshape", last, graph.numbers([0, -1]))


def _pool(
    graph: _Graph,
    kind: str,
    state_dict: Mapping[str, np.ndarray],
    outputs: str,
    last: str,
    mask: str,
    lengths: str,
) -> str:
    """Pools to one vector per row: outputs [B, T, D*H], last [B, D*H], bool[B, T, 1], i32[B, 1]."""
    if kind == "last":
        return last
    over_time = graph.numbers([1])
    if kind == "attention":
        hidden = graph.add("Tanh", graph.linear(outputs, state_dict, "attention_hidden"))
        scores = graph.linear(hidden, state_dict, "attention_score")
        masked = graph.add("Where", mask, scores, graph.number(_LOWEST))
        weighted = graph.add("Mul", graph.add("Softmax", masked, axis=1), outputs)
        return str(graph.add("ReduceSum", weighted, over_time, keepdims=0))
    parts = [last] if kind == "concat" else []
    if kind in ("max", "concat"):
        masked = graph.add("Where", mask, outputs, graph.number(_LOWEST))
        parts.append(graph.add("ReduceMax", masked, axes=[1], keepdims=0))
    if kind in ("mean", "concat"):
        masked = graph.add("Where", mask, outputs, graph.number(0.0))
        total = graph.add("ReduceSum", masked, over_time, keepdims=0)
        parts.append(graph.add("Div", total, graph.add("Cast", lengths, to=TensorProto.FLOAT)))
    return str(graph.add("Concat", *parts, axis=1))


def _serialize(graph: _Graph, model: TextClassifier) -> bytes:
    def tensor(name: str, kind: int, *axes: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, axes)

    features, classes = model.num_token_features, model.num_classes
    inputs = [tensor("token_ids", TensorProto.INT32, "batch", "time")]
    inputs.append(tensor("lengths", TensorProto.INT32, "batch"))
    if features:
        inputs.append(tensor("token_features", TensorProto.FLOAT, "batch", "time", features))
    outputs = [tensor("logits", TensorProto.FLOAT, "batch", classes)]
    whole = helper.make_model(
        helper.make_graph(graph.nodes, "text_classifier", inputs, outputs, graph.stored),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lstm_flax",
    )
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString())
