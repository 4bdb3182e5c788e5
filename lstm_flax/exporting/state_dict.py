"""A classifier's parameters, named as in the torch module of `runners/torch_classifier.py`.

>>> params = {"head": {"kernel": np.ones((3, 2)), "bias": np.zeros(2)}}
>>> {name: array.shape for name, array in to_state_dict(params).items()}
{'head.weight': (2, 3), 'head.bias': (2,)}
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax.models.votes import votes_matrix
from lstm_flax.recurrent.torch_weights import to_torch


def to_state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Converts the parameters of a `TextClassifier`.

    Args:
        params: embedding, ngrams (perhaps), recurrent, pooling and votes (perhaps), head.

    Returns:
        `embedding.weight` [V, E], `ngrams.weight` [E, F], `recurrent.weight_ih_l0` ... as in
        `torch.nn.LSTM`, `attention_hidden.*`, `attention_score.weight`, `head.weight` [C, D*H],
        `head.bias` and `votes.weight` [C, F], all f32.
    """
    state_dict: dict[str, np.ndarray] = {}
    for name, part in (dict(params) | dict(params.get("pooling", {}))).items():
        if name == "embedding":
            state_dict["embedding.weight"] = part["embedding"]
        elif name == "recurrent":
            arrays = to_torch(part)
            state_dict |= {f"recurrent.{key}": array for key, array in arrays.items()}
        elif name == "votes":
            outputs = np.shape(params["head"]["kernel"])[1]
            state_dict["votes.weight"] = votes_matrix(part["scale"], outputs)
        elif name != "pooling":
            state_dict[f"{name}.weight"] = np.asarray(part["kernel"]).T
            if "bias" in part:
                state_dict[f"{name}.bias"] = part["bias"]
    return {
        name: np.ascontiguousarray(np.asarray(array), dtype=np.float32)
        for name, array in state_dict.items()
    }


def flat_names(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """Joins Flax's own names with dots: a tree of arrays -> f32 arrays by name.

    >>> list(flat_names({"head": {"bias": np.zeros(2)}}))
    ['head.bias']
    """
    flat: dict[str, np.ndarray] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flat_names(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = np.ascontiguousarray(np.asarray(value), dtype=np.float32)
    return flat
