"""Checkpoints of format 1: no manifest, and the encoder kept as values and arrays."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.manifest import MANIFEST, DamagedCheckpoint
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenizer import Tokenizer


def is_checkpoint(path: Path) -> bool:
    """True if a checkpoint has no manifest, and says that it is older than manifests."""
    if (path / MANIFEST).exists():
        return False
    try:
        return json.loads((path / "metadata" / "metadata").read_bytes())["format_version"] == 1
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def check(values: Mapping[str, Any], restored: Mapping[str, Any]) -> None:
    """Compares arrays with the checksums that this format kept of some of its items.

    Args:
        values: the checkpoint's metadata.
        restored: arrays by item.

    Raises:
        DamagedCheckpoint: the arrays of an item are others than were saved.
    """
    for name, expected in values.get("checksums", {}).items():
        if name in restored and _checksum(restored[name]) != expected:
            raise DamagedCheckpoint(f"the checksum of {name} differs")


def _checksum(tree: Any) -> int:
    """CRC-32 of all arrays, one after another."""
    checksum = 0
    for leaf in jax.tree.leaves(tree):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).data, checksum)
    return checksum


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
