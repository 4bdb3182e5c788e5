"""Checkpoints of format 1, which kept the encoder as values and arrays rather than as files."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenizer import Tokenizer


def read_encoder(values: dict[str, Any], restore: Callable[[Any], dict[str, Any]]) -> TextEncoder:
    """The encoder of a checkpoint of format 1.

    Args:
        values: its metadata: the tokenizer in base 64, the sizes of the ratios' arrays.
        restore: reads the ratios into arrays of the shapes and dtypes given.

    Raises:
        UserError: the tokenizer is damaged.
    """
    tokenizer = Tokenizer.from_bytes(base64.b64decode(values["tokenizer"]))
    if (sizes := values.get("ngrams")) is None:
        return TextEncoder(tokenizer)
    template = {
        "keys": np.empty(sizes["known"], np.uint32),
        "tables": np.empty((1, sizes["known"] + 1, sizes["ratios"]), np.float16),
        "groups": np.empty(sizes["groups"], np.uint64),
    }
    arrays = restore(template)
    return TextEncoder(
        tokenizer, NgramRatios(sizes["order"], *(np.asarray(arrays[name]) for name in template))
    )
