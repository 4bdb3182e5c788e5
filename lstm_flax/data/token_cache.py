"""Encoded splits on disk: memory-mapped ragged arrays.

A split is one folder: `token_ids.npy` (all token ids one after another, 16 bits if the vocabulary
fits), `offsets.npy` (where each example starts and the last one ends), `labels.npy`, `groups.npy`
and `split.json`. It is written under a temporary name and renamed, so a reader never sees a partial
split, and if two processes write the same one, one of them wins.
"""

import contextlib
import errno
import json
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lstm_flax.errors import one_line
from lstm_flax.files import cannot_read
from lstm_flax.text.tokenized import TokenizedSplit, flatten
from lstm_flax.untrusted import is_damage, read_json, reading_arrays, require_own_files

FORMAT_VERSION = 2
_ARRAYS = ("token_ids", "offsets", "labels", "groups")


class DamagedCacheError(Exception):
    """The contents of a cache folder are not what was written."""


def write_split(
    folder: Path,
    sequences: Sequence[np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    vocab_size: int,
    fingerprint: str,
) -> None:
    """Writes one encoded split; replaces an existing one unless it is the same.

    Args:
        folder: the split's folder; its parent exists.
        sequences: N arrays of token ids, none empty.
        labels: i32[N].
        groups: u64[N].
        vocab_size: V; ids are stored in 16 bits if it fits.
        fingerprint: fingerprint of the texts, kept for `read_split`.
    """
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)
    token_ids, offsets = flatten(sequences, dtype)
    arrays = {
        "token_ids": token_ids,
        "offsets": offsets,
        "labels": labels.astype(np.int32),
        "groups": groups.astype(np.uint64),
    }
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        manifest = {
            "format": FORMAT_VERSION,
            "fingerprint": fingerprint,
            "examples": len(labels),
            "tokens": len(token_ids),
            "crc32": {name: _crc32(array) for name, array in arrays.items()},
        }
        (new / "split.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _put_in_place(new, folder, fingerprint)


def _put_in_place(new: Path, folder: Path, fingerprint: str) -> None:
    """Renames a finished folder without moving an intact one away from its readers.

    A folder cannot be renamed onto one that contains files. If another process has just written the
    same split there, that one stays; anything else is moved aside (open memory maps stay valid).
    """
    for attempt in range(10):
        try:
            os.rename(new, folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        try:
            if read_split(folder, fingerprint) is not None:
                return
        except DamagedCacheError:
            pass
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(folder, new.with_name(f"old-{attempt}"))
    raise OSError(errno.EBUSY, "other processes keep writing it", str(folder))


def read_split(
    folder: Path,
    fingerprint: str | None = None,
    vocab_size: int | None = None,
    num_labels: int | None = None,
) -> TokenizedSplit | None:
    """Opens an encoded split and validates it, since anyone may have written it.

    Args:
        folder: the folder passed to `write_split`.
        fingerprint: fingerprint of the current texts; None accepts any.
        vocab_size: V, an exclusive bound on token ids; None for no bound.
        num_labels: C, an exclusive bound on labels; None for no bound.

    Returns:
        The split, or None if there is none with that fingerprint.

    Raises:
        DamagedCacheError: the contents are not what was written.
        UserError: the system refuses to read them.
    """
    try:
        require_own_files(folder)
        manifest = read_json(folder / "split.json")
        if manifest["format"] != FORMAT_VERSION:
            return None
        if fingerprint is not None and manifest["fingerprint"] != fingerprint:
            return None
        with reading_arrays():
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in _ARRAYS
            }
            sums = {name: _crc32(array) for name, array in arrays.items()}
        expected = {name: int(manifest["crc32"][name]) for name in _ARRAYS}
    except FileNotFoundError as error:
        if not folder.exists():
            return None
        raise DamagedCacheError(f"{error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and not is_damage(error):
            raise cannot_read(folder, error) from error
        raise DamagedCacheError(f"{folder} cannot be read: {one_line(error)}") from error
    for name, found in sums.items():
        if found != expected[name]:
            raise DamagedCacheError(f"{folder / name}.npy differs from what was written")
    if wrong := _wrong_array(arrays, vocab_size, num_labels):
        raise DamagedCacheError(f"{folder / wrong}.npy holds what no program writes there")
    return TokenizedSplit(**arrays)


def _wrong_array(
    arrays: Mapping[str, np.ndarray], vocab_size: int | None, num_labels: int | None
) -> str | None:
    """Returns the first array with impossible values, even if it is intact; None if none."""
    kinds = {"token_ids": ("uint16", "int32"), "offsets": ("int64",)}
    kinds |= {"labels": ("int32",), "groups": ("uint64",)}
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.name not in kinds[name]:
            return name
    token_ids, offsets, labels, groups = (arrays[name] for name in _ARRAYS)
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(token_ids):
        return "offsets"
    if (offsets[1:] <= offsets[:-1]).any():  # a text has at least one token
        return "offsets"
    if len(labels) != len(offsets) - 1 or labels.min() < -1:
        return "labels"
    if num_labels is not None and labels.max() >= num_labels:
        return "labels"
    if len(groups) != len(labels):
        return "groups"
    if token_ids.min() < 0 or (vocab_size is not None and token_ids.max() >= vocab_size):
        return "token_ids"
    return None


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(array.data)
