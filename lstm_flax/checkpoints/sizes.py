"""Checks the sizes claimed in a checkpoint's metadata before allocating memory for arrays."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.arrays import by_name
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.files import folder_size

_LARGEST_RATIO = 4  # of weights in memory to their files, which are slightly compressed
_SMALL = 64_000_000  # bytes that are always acceptable, however small their files


def require_sizes(where: str, config: Config, vocab_size: int, weights: Any) -> None:
    """Checks that a configuration matches the weights stored beside it.

    Checks only what determines how much work a program does before it compares every array: a
    claim of a million layers would be traced layer by layer.

    Args:
        where: the checkpoint's item, for the error.
        config: from the metadata.
        vocab_size: V, from the tokenizer stored with it.
        weights: a tree of leaves with a shape and a dtype, by name.

    Raises:
        UserError: they differ; the message names the difference.
    """
    model = config.model
    directions = 2 if model.bidirectional else 1
    claimed = {
        "embedding": (vocab_size, model.embedding_size),
        "cells": (model.num_layers * directions,),
        "recurrent kernel": (model.hidden_size, model.hidden_size),
    }
    found = _found(weights)
    for name, size in claimed.items():
        if found[name] != size:
            raise UserError(
                f"{where}: not the weights of the configuration beside them: {name} of "
                f"{_words(found[name])}, not {_words(size)}; get the checkpoint again"
            )


def require_honest(where: Path, weights: Any) -> None:
    """Checks that arrays are not far larger than the files that should contain them.

    For missing chunks of an array, zeros would be allocated, whatever its size.

    Args:
        where: the folder of the checkpoint's item.
        weights: a tree of leaves with a shape and a dtype.

    Raises:
        UserError: the arrays are far larger.
    """
    needed = sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(weights)
    )
    there = folder_size(where)
    if needed > _LARGEST_RATIO * there + _SMALL:
        raise UserError(
            f"{where}: declares {needed:,} bytes of weights, but has {there:,} bytes of files; get "
            "the checkpoint again"
        )


def require_finite(where: str, weights: Any) -> None:
    """Checks that no weight is NaN or infinite, which would make every answer meaningless.

    Raises:
        UserError: the message names the first array with such a value.
    """
    for name, leaf in by_name(weights).items():
        if not np.isfinite(np.asarray(leaf)).all():
            raise UserError(
                f"{where}/{name}: holds numbers that are not finite; take another checkpoint, or "
                "train again with a smaller config.optimizer.learning_rate"
            )


def _found(weights: Any) -> dict[str, tuple[int, ...]]:
    cells = weights.get("recurrent", {}) if isinstance(weights, dict) else {}
    first: dict[str, Any] = next(iter(cells.values()), {})
    kernels = [product.get("kernel") for name, product in first.items() if name[0] == "h"]
    table = weights.get("embedding", {}).get("embedding") if cells else None
    return {
        "embedding": () if table is None else tuple(table.shape),
        "cells": (len(cells),),
        "recurrent kernel": tuple(kernels[0].shape) if kernels and kernels[0] is not None else (),
    }


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no size"
