"""Checkpoints of format 1: no manifest, and the encoder kept as values and arrays."""

import base64
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.manifest import MANIFEST, DamagedCheckpoint
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import cannot_read
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams.weights import NgramWeights
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.untrusted import is_damage, read_json


def is_checkpoint(path: Path) -> bool:
    """Returns True if a checkpoint has no manifest and its format predates manifests.

    Raises:
        UserError: the system refuses to read it.
    """
    try:
        if (path / MANIFEST).exists():
            return False
        return read_json(path / "metadata" / "metadata")["format_version"] == 1
    except OSError as error:
        if is_damage(error):
            return False
        raise cannot_read(path, error) from error
    except (ValueError, KeyError, TypeError):
        return False


def check(values: Mapping[str, Any], restored: Mapping[str, Any]) -> None:
    """Compares arrays with the checksums that this format kept for some of its items.

    Args:
        values: the checkpoint's metadata.
        restored: arrays by item.

    Raises:
        DamagedCheckpoint: the arrays of an item are not the saved ones.
    """
    for name, expected in values.get("checksums", {}).items():
        if name in restored and _checksum(restored[name]) != expected:
            raise DamagedCheckpoint(f"the checksum of {name} differs")


def _checksum(tree: Any) -> int:
    """Computes the CRC-32 of all arrays, one after another."""
    checksum = 0
    for leaf in jax.tree.leaves(tree):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).data, checksum)
    return checksum


def read_encoder(values: dict[str, Any], restore: Callable[[Any], dict[str, Any]]) -> TextEncoder:
    """Reads the encoder of a checkpoint of format 1.

    Args:
        values: its metadata: the tokenizer in base 64, the sizes of the ratios' arrays.
        restore: reads the ratios into arrays of the given shapes and dtypes.

    Raises:
        UserError: the tokenizer is damaged.
    """
    try:
        tokenizer = Tokenizer.from_bytes(base64.b64decode(values["tokenizer"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the tokenizer cannot be read ({one_line(error)})") from error
    if (sizes := values.get("ngrams")) is None:
        return TextEncoder(tokenizer)
    try:
        known, ratios, groups = (int(sizes[name]) for name in ("known", "ratios", "groups"))
        # Each array is one broadcast number, so what the metadata claim takes no memory.
        template = {
            "keys": np.broadcast_to(np.uint32(0), (known,)),
            "tables": np.broadcast_to(np.float16(0), (1, known + 1, ratios)),
            "groups": np.broadcast_to(np.uint64(0), (groups,)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the n-gram ratios cannot be read ({one_line(error)})") from error
    restored = restore(template)
    fitted = NgramWeights(
        sizes.get("order"),
        np.asarray(restored["keys"]),
        np.asarray(restored["tables"]),
        np.asarray(restored["groups"]),
    )
    try:
        fitted.check()
    except ValueError as error:
        raise UserError(f"the n-gram ratios cannot be read ({error})") from error
    return TextEncoder(tokenizer, fitted)
