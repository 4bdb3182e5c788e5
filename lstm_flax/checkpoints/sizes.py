"""Sizes that a checkpoint's metadata claim, compared with its arrays before any memory is taken."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.files import folder_size

_LARGEST_RATIO = 4  # of weights in memory to their files, which are compressed a little
_SMALL = 64_000_000  # bytes that are no harm, however few bytes of files they come from


def require_sizes(where: str, config: Config, vocab_size: int, weights: Any) -> None:
    """Makes sure that a configuration is that of the weights stored beside it.

    Only what decides how much a program does before it compares every array: a claim of a million
    layers would be traced, layer by layer.

    Args:
        where: the checkpoint's item, for the error.
        config: as the metadata have it.
        vocab_size: V, of the tokenizer stored beside it.
        weights: a tree of what has a shape and a dtype, by name.

    Raises:
        UserError: naming what differs.
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
                f"{_words(found[name])}, not {_words(size)}; get the checkpoint anew"
            )


def require_honest(where: Path, weights: Any) -> None:
    """Makes sure that arrays are not far larger than the files that are said to hold them.

    Of an array whose chunks are missing, zeros would be made, whatever its size.

    Args:
        where: the folder of the checkpoint's item.
        weights: a tree of what has a shape and a dtype.

    Raises:
        UserError: they are.
    """
    needed = sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(weights)
    )
    there = folder_size(where)
    if needed > _LARGEST_RATIO * there + _SMALL:
        raise UserError(
            f"{where}: {needed:,} bytes of weights, it says, in {there:,} bytes of files; get the "
            "checkpoint anew"
        )


def require_finite(where: str, weights: Any) -> None:
    """Makes sure that no weight is NaN or infinite: no answer would mean anything.

    Raises:
        UserError: naming the first array that has one.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(weights):
        if not np.isfinite(np.asarray(leaf)).all():
            name = "/".join(str(key.key) for key in path)
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
