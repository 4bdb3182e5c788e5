"""Encoded splits on disk: memory-mapped ragged arrays.

A split is one folder: `token_ids.npy` (all token ids one after another, 16 bits where the
vocabulary fits), `offsets.npy` (where each example starts and the last one ends), `labels.npy`,
`groups.npy` and `split.json`. It is written under a temporary name and renamed, so a
reader never sees half of it, and of two processes that write the same one, one wins.
"""

import contextlib
import errno
import json
import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FORMAT_VERSION = 2
_ARRAYS = ("token_ids", "offsets", "labels", "groups")


class DamagedCacheError(Exception):
    """A cache folder that is not what was written."""


class TokenizedSplit(Sequence[np.ndarray]):
    """The encoded examples of one split; item i is the i32[n] of all its token ids.

    Attributes:
        token_ids: u16 or i32[sum of lengths], every example's ids one after another.
        offsets: i64[N + 1], where each example starts.
        labels: i32[N]; -1 for no label.
        groups: u64[N], equal for texts that belong together, as those of one film.
        lengths: i64[N], token counts before any truncation.
    """

    def __init__(
        self, token_ids: np.ndarray, offsets: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> None:
        self.token_ids = token_ids
        self.offsets = offsets
        self.labels = labels
        self.groups = groups
        self.lengths: np.ndarray = np.diff(offsets)

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[np.ndarray], labels: Sequence[int] | np.ndarray
    ) -> "TokenizedSplit":
        """A split in memory, each example a group of its own.

        >>> split = TokenizedSplit.from_sequences([np.array([4, 5]), np.array([6])], [1, 0])
        >>> split[0].tolist(), split.lengths.tolist()
        ([4, 5], [2, 1])
        """
        token_ids, offsets = _flatten(sequences, np.dtype(np.int32))
        groups = np.arange(len(labels), dtype=np.uint64)
        return cls(token_ids, offsets, np.asarray(labels, dtype=np.int32), groups)

    @classmethod
    def concatenate(cls, parts: Sequence["TokenizedSplit"]) -> "TokenizedSplit":
        """A split in memory of the examples of all parts, at least one, in their order.

        >>> ends = [TokenizedSplit.from_sequences([np.array(ids)], [1]) for ids in ([4, 5], [6])]
        >>> [ids.tolist() for ids in TokenizedSplit.concatenate(ends)]
        [[4, 5], [6]]
        """
        starts = np.cumsum([0] + [len(part.token_ids) for part in parts])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([part.token_ids for part in parts]),
            np.concatenate([*offsets, starts[-1:]]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.groups for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # Sequence types slices as well
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        ids = self.token_ids[self.offsets[i] : self.offsets[i + 1]]
        return np.asarray(ids, dtype=np.int32)


def _flatten(sequences: Sequence[np.ndarray], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum([len(s) for s in sequences], out=offsets[1:])
    token_ids = np.empty(offsets[-1], dtype=dtype)
    for i, sequence in enumerate(sequences):
        token_ids[offsets[i] : offsets[i + 1]] = sequence
    return token_ids, offsets


def write_split(
    folder: Path,
    sequences: Sequence[np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    vocab_size: int,
    fingerprint: str,
) -> None:
    """Writes one encoded split; replaces what is there, unless it is the same already.

    Args:
        folder: where; the folder above it exists.
        sequences: N arrays of token ids, none empty.
        labels: i32[N].
        groups: u64[N].
        vocab_size: V; ids are stored in 16 bits where it fits.
        fingerprint: of the texts, kept for `read_split`.
    """
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)
    token_ids, offsets = _flatten(sequences, dtype)
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
    """Renames a finished folder, never away from under a reader of a good one.

    A folder cannot be renamed onto one that holds files. Where another process has just put the
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


def read_split(folder: Path, fingerprint: str | None = None) -> TokenizedSplit | None:
    """Opens an encoded split.

    Args:
        folder: where `write_split` put it.
        fingerprint: of the texts as they are now; None to take any.

    Returns:
        The split, or None where there is none of that fingerprint.

    Raises:
        DamagedCacheError: what is there is not what was written.
    """
    try:
        manifest = json.loads((folder / "split.json").read_text("utf-8"))
        if manifest["format"] != FORMAT_VERSION:
            return None
        if fingerprint is not None and manifest["fingerprint"] != fingerprint:
            return None
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in _ARRAYS
        }
        sums = {name: _crc32(array) for name, array in arrays.items()}
    except FileNotFoundError as error:
        if not folder.exists():
            return None
        raise DamagedCacheError(f"{error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DamagedCacheError(f"{folder} cannot be read: {error}") from error
    for name, found in sums.items():
        if found != manifest["crc32"][name]:
            raise DamagedCacheError(f"{folder / name}.npy differs from what was written")
    return TokenizedSplit(**arrays)


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(array.data)
