"""Weights to and from the state dicts of torch's text classifiers: embedding, LSTM, linear.

>>> rng = np.random.default_rng(0)
>>> state_dict = {
...     "embed.weight": rng.normal(size=(50, 3)),
...     "rnn.weight_ih_l0": rng.normal(size=(4, 3)),
...     "rnn.weight_hh_l0": rng.normal(size=(4, 4)),
...     "out.weight": rng.normal(size=(1, 4)),
...     "out.bias": rng.normal(size=1),
... }
>>> attributes, params = classifier_from_torch(state_dict)
>>> attributes["cell"], attributes["head"], list(params)
('rnn', 'sigmoid', ['embedding', 'recurrent', 'head'])
>>> back = classifier_to_torch(attributes, params, names=("embed", "rnn", "out"))
>>> bool(np.all(back["out.weight"] == state_dict["out.weight"]))
True
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax.errors import UserError, some
from lstm_flax.recurrent.cells import CellSpec, direction_name
from lstm_flax.recurrent.torch_weights.layers import KEY, from_torch, spec_of, to_arrays, to_torch


def classifier_from_torch(state_dict: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the state dict of a torch text classifier to a `TextClassifier`.

    The torch module is an `nn.Embedding`, one recurrent layer and an `nn.Linear` that takes the
    last layer's final states of packed sequences: `torch.cat((hidden[-2], hidden[-1]), dim=1)` if
    bidirectional, else `hidden[-1]`. Any names work (`lstm`, `rnn`, `encoder`, ...; `fc`, `linear`,
    `out`, ...), also with a common prefix like `module.`. A linear layer with one output becomes
    `head="sigmoid"`, whose logits are [0, z].

    >>> rng = np.random.default_rng(0)
    >>> state_dict = {
    ...     "embedding.weight": rng.normal(size=(50, 3)),
    ...     "lstm.weight_ih_l0": rng.normal(size=(16, 3)),
    ...     "lstm.weight_hh_l0": rng.normal(size=(16, 4)),
    ...     "lstm.bias_ih_l0": rng.normal(size=16),
    ...     "lstm.bias_hh_l0": rng.normal(size=16),
    ...     "fc.weight": rng.normal(size=(2, 4)),
    ...     "fc.bias": rng.normal(size=2),
    ... }
    >>> attributes, params = classifier_from_torch(state_dict)
    >>> attributes["cell"], attributes["hidden_size"], attributes["head"]
    ('lstm', 4, 'softmax')
    >>> import jax.numpy as jnp
    >>> from lstm_flax.models import TextClassifier
    >>> token_ids, lengths = jnp.array([[4, 5, 6], [7, 0, 0]]), jnp.array([3, 1])
    >>> TextClassifier(**attributes).apply({"params": params}, token_ids, lengths).shape
    (2, 2)

    Args:
        state_dict: the whole module's state dict, names to arrays or torch tensors.

    Returns:
        The attributes of `TextClassifier` and its parameters.

    Raises:
        UserError: an entry (named in the message) is missing or has no counterpart, or shapes do
            not fit.
    """
    arrays = to_arrays(state_dict)
    prefixes = {m[1] for name in arrays if (m := re.fullmatch(r"(.*?)" + KEY.pattern, name))}
    if len(prefixes) != 1:
        found = some(sorted(prefixes)) if prefixes else "none in " + some(list(arrays))
        raise UserError(
            "a torch classifier must have one recurrent layer (names such as lstm.weight_ih_l0), "
            f"but has {found}"
        )
    (prefix,) = prefixes
    layer = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if re.fullmatch(re.escape(prefix) + KEY.pattern, name)
    }
    params = from_torch(layer)
    if any(name.startswith("weight_hr") for name in layer):
        raise UserError(
            f"{prefix}weight_hr_l0: TextClassifier has no proj_size; load {prefix}* alone with "
            "from_torch into LSTM(..., proj_size=...)"
        )
    spec, hidden = spec_of(layer)
    cells = {name: _with_biases(cell, spec) for name, cell in params.items()}
    directions = 2 if direction_name(0, 1) in params else 1
    rest = {name: a for name, a in arrays.items() if name.removeprefix(prefix) not in layer}
    embedding, linear = _find_embedding_and_linear(rest)
    table, kernel = rest[embedding], rest[linear]
    for name, width in (
        (embedding, layer["weight_ih_l0"].shape[1]),
        (linear, directions * hidden),
    ):
        if rest[name].shape[1] != width:
            raise UserError(
                f"{name} has shape {rest[name].shape}: expected {width} columns, from the shapes "
                f"of {prefix}weight_ih_l0 and {prefix}weight_hh_l0 with {directions} direction(s)"
            )
    bias_name = _bias_of(linear)
    bias = rest.get(bias_name, np.zeros(len(kernel), kernel.dtype))
    if bias.shape != kernel.shape[:1]:
        raise UserError(f"{bias_name} has shape {bias.shape}, {linear} {kernel.shape}")
    left = set(rest) - {embedding, linear, bias_name}
    if left:
        raise UserError(
            f"{some(sorted(left))} of the state dict has no counterpart in TextClassifier; "
            "a classifier of embedding, recurrent layer and linear layer can be converted"
        )
    attributes = {
        "vocab_size": table.shape[0],
        "num_classes": max(len(kernel), 2),
        "embedding_size": table.shape[1],
        "hidden_size": hidden,
        "num_layers": len(params) // directions,
        "bidirectional": directions == 2,
        "cell": spec.name.lower(),
        "pooling": "last",
        "head": "softmax" if len(kernel) > 1 else "sigmoid",
    }
    return attributes, {
        "embedding": {"embedding": table.copy()},
        "recurrent": cells,
        "head": {"kernel": np.array(kernel.T, order="C"), "bias": bias.copy()},
    }


def classifier_to_torch(
    attributes: Mapping[str, Any],
    params: Mapping[str, Any],
    names: tuple[str, str, str] | None = None,
) -> dict[str, np.ndarray]:
    """Converts a `TextClassifier` to the state dict of a torch classifier.

    The inverse of `classifier_from_torch`; of the two biases that torch adds, one becomes zero.

    >>> import jax
    >>> from lstm_flax.models import TextClassifier, init_params
    >>> attributes = {"vocab_size": 50, "num_classes": 2, "embedding_size": 3, "hidden_size": 4}
    >>> params = init_params(TextClassifier(**attributes), jax.random.key(0))
    >>> list(classifier_to_torch(attributes, params))[:3]
    ['embedding.weight', 'lstm.weight_ih_l0', 'lstm.weight_hh_l0']

    Args:
        attributes: attributes of the `TextClassifier`; missing ones have their defaults.
        params: its parameters.
        names: of the torch module's embedding, recurrent and linear layer; None for `embedding`,
            the cell's name and `fc`.

    Returns:
        Names to numpy arrays.

    Raises:
        UserError: the classifier uses pooling other than `last`, merges its directions, is
            hierarchical, or has token features; or `names` are not three different names.
    """
    cell = attributes.get("cell", "lstm")
    for name, only in (("pooling", "last"), ("direction_merge", "concat"), ("hierarchy", "none")):
        value = attributes.get(name, only)
        if value != only:
            raise UserError(
                f"{name} = {value!r}: only {only!r} has a counterpart in the torch module"
            )
    expected = {"embedding", "recurrent", "head"}
    if set(params) != expected:
        wrong = sorted(set(params) ^ expected)
        raise UserError(
            f"not the parameters of a TextClassifier with a counterpart in torch: {some(wrong)} "
            f"is {'left over' if wrong[0] in params else 'missing'}"
        )
    if names is not None and (isinstance(names, str) or not len(names) == len({*names}) == 3):
        raise UserError(f"names = {names!r}: give three different names of modules")
    embedding, recurrent, linear = names or ("embedding", cell, "fc")
    others = {
        f"{embedding}.weight": params["embedding"]["embedding"],
        f"{linear}.weight": params["head"]["kernel"],
        f"{linear}.bias": params["head"]["bias"],
    }
    arrays = to_arrays(others)
    state_dict = {f"{embedding}.weight": arrays[f"{embedding}.weight"]}
    for name, array in to_torch(params["recurrent"]).items():
        state_dict[f"{recurrent}.{name}"] = array
    state_dict[f"{linear}.weight"] = np.ascontiguousarray(arrays[f"{linear}.weight"].T)
    state_dict[f"{linear}.bias"] = arrays[f"{linear}.bias"]
    return state_dict


def _with_biases(
    cell: Mapping[str, Mapping[str, np.ndarray]], spec: CellSpec
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the cell with zeros for missing biases, which changes no result."""
    filled = {name: dict(product) for name, product in cell.items()}
    for side, gates in (("i", spec.input_biases), ("h", spec.state_biases)):
        for gate in gates:
            product = filled[f"{side}{gate}"]
            product.setdefault("bias", np.zeros_like(product["kernel"][0]))
    return filled


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _find_embedding_and_linear(arrays: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Returns the names of the weights of the only embedding and the only linear layer.

    A linear layer has a bias, an embedding has none. If neither has a bias, the embedding is the
    one whose name contains "embed".
    """
    matrices = [n for n, array in arrays.items() if array.ndim == 2 and n.endswith("weight")]
    linear = [name for name in matrices if _bias_of(name) in arrays]
    embedding = [name for name in matrices if name not in linear]
    if not linear:
        linear = [name for name in embedding if "emb" not in name.lower()]
        embedding = [name for name in embedding if name not in linear]
    if len(embedding) == 1 and len(linear) == 1:
        return embedding[0], linear[0]
    raise UserError(
        "a torch classifier must have one embedding (a matrix without a bias, such as "
        "embedding.weight) and one linear layer (such as fc.weight and fc.bias), but has "
        f"{some(embedding) or 'no embedding'} and {some(linear) or 'no linear layer'}"
    )
