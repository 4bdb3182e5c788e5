"""A data set ready to train on: encoded splits, label names, tokenizer."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lstm_flax.config import DataConfig
from lstm_flax.data.cache_files import writing
from lstm_flax.data.examples import Examples
from lstm_flax.data.loading import (
    check_split,
    extra_fingerprint,
    load_examples,
    read_extra,
)
from lstm_flax.data.sources import Source
from lstm_flax.data.token_cache import DamagedCacheError, read_split, write_split
from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_CHUNK = 2_000  # texts encoded between two updates of the progress bar
_SLOW = 1.0  # seconds before a progress bar shows


class Dataset:
    """Encoded splits, created when first requested and cached.

    Attributes:
        label_names: C names; a label is an index into them.
        tokenizer: the tokenizer that encoded the splits.
        splits: names of the available splits.
        folder: the cache folder, complete in itself.
        fingerprint: hash of the data, its cuts and the tokenizer: if equal, so are the labelled
            batches.
    """

    label_names: tuple[str, ...]
    tokenizer: Tokenizer
    splits: tuple[str, ...]
    folder: Path
    fingerprint: str

    def __init__(
        self,
        config: DataConfig,
        folder: Path,
        manifest: dict[str, Any],
        tokenizer: Tokenizer,
        source: Source | None,
    ) -> None:
        self.tokenizer = tokenizer
        self.label_names = tuple(manifest["label_names"])
        self.fingerprint = manifest["fingerprint"]
        self.folder = folder
        self._config = config
        self.splits = tuple(manifest["splits"])
        self._source = source
        self._opened: dict[str, TokenizedSplit] = {}

    @property
    def has_development(self) -> bool:
        """Returns True if there is a development split."""
        return "development" in self.splits

    def check_split(self, name: str) -> None:
        """Checks, before training, that a split can be scored afterwards.

        It loads no split; only a user's own file that is not encoded yet is read through, and
        nothing of it is kept.

        Raises:
            UserError: there is no such split, it has no labels, or the user's file has mistakes or
                labels that do not occur in the training part.
        """
        if self._source is not None:
            check_split(self._config, name, self._source)
            if not self._is_encoded(name):
                self._source.check_texts(name)
        elif not (self.folder / name / "split.json").exists():
            self._open_cached(self.folder / name)  # its error says what is missing

    def split(self, name: str) -> TokenizedSplit:
        """Returns one encoded split, from the cache or encoded now.

        Args:
            name: `train`, `development`, `test` or `unsupervised`.

        Raises:
            UserError: there is no such split, or its texts are not available.
        """
        if name not in self._opened:
            self._opened[name] = self._open_split(name)
        return self._opened[name]

    def encode(self, name: str, examples: Examples) -> None:
        """Encodes a split whose texts are already loaded, unless it is in the cache."""
        self._opened[name] = self._open_split(name, examples)

    def texts(self, name: str) -> Examples:
        """Returns the raw texts of a split, in the order of `split(name)`.

        Raises:
            UserError: there is no such split, or the data set was opened from its cache alone.
        """
        if self._source is None:
            raise UserError(
                f"config.data.token_cache = {str(self.folder)!r}: holds no texts; leave the field "
                "empty to read them from their source"
            )
        return load_examples(self._config, name, self._source)

    def _open_split(self, name: str, examples: Examples | None = None) -> TokenizedSplit:
        folder = self.folder / name
        if self._source is None:
            return self._open_cached(folder)
        fingerprint = self._split_fingerprint(name)
        if fingerprint is not None:
            try:
                if found := self._read(folder, fingerprint):
                    return found
            except DamagedCacheError as error:
                logger.warning("%s; it is made again", error)
        examples = examples or self.texts(name)
        self._write(name, examples, str(fingerprint))
        try:
            written = self._read(folder)
        except DamagedCacheError as error:
            raise UserError(
                f"{error}, though just written; check the disk, or choose another "
                "config.data.cache_dir"
            ) from error
        assert written is not None, f"{folder} vanished while it was read"
        return written

    def _read(self, folder: Path, fingerprint: str | None = None) -> TokenizedSplit | None:
        return read_split(folder, fingerprint, self.tokenizer.vocab_size, len(self.label_names))

    def _is_encoded(self, name: str) -> bool:
        try:
            return self._read(self.folder / name, self._split_fingerprint(name)) is not None
        except DamagedCacheError:
            return False

    def _open_cached(self, folder: Path) -> TokenizedSplit:
        where = f"config.data.token_cache = {str(self.folder)!r}"
        try:
            found = self._read(folder)
        except DamagedCacheError as error:
            raise UserError(f"{where}: damaged ({error}); copy it again") from error
        if found is None:
            there = sorted(path.parent.name for path in self.folder.glob("*/split.json"))
            raise UserError(
                f"{where}: holds no {folder.name!r} split, only {', '.join(there) or 'none'}; "
                "train or evaluate where the texts are, and copy the folder again"
            )
        if folder.name == "train" and self._config.extra_train_path is not None:
            extra = read_extra(self._config, self.label_names)
            further = TextEncoder(self.tokenizer).encode_split(extra.texts, extra.labels)
            return TokenizedSplit.concatenate([found, further])
        return found

    def _split_fingerprint(self, name: str) -> str | None:
        """Returns the fingerprint of a split's texts; None if there is no such split."""
        if name not in self.splits or self._source is None:
            return None
        if name != "train":
            return self._source.fingerprint(name if name in self._source.splits else "train")
        return self._source.fingerprint("train") + extra_fingerprint(self._config)

    def _write(self, name: str, examples: Examples, fingerprint: str) -> None:
        if examples.label_names != self.label_names:
            raise UserError(
                f"the labels of {name} are {', '.join(examples.label_names)}, not "
                f"{', '.join(self.label_names)}; the data changed while it was read"
            )
        sequences: list[np.ndarray] = []
        with tqdm(
            total=len(examples),
            desc=f"encoding {name}",
            unit="text",
            delay=_SLOW,
            leave=False,
            file=sys.stderr,
        ) as bar:
            for start in range(0, len(examples), _CHUNK):
                texts = examples.texts[start : start + _CHUNK]
                sequences += self.tokenizer.encode_batch(texts)
                bar.update(len(texts))
        with writing(self.folder):
            write_split(
                self.folder / name,
                sequences,
                examples.labels,
                # Only parts cut off the source's training split need their groups.
                np.zeros(len(examples)) if examples.groups is None else examples.groups,
                self.tokenizer.vocab_size,
                fingerprint,
            )
