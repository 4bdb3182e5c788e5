"""A data set ready to train on: encoded splits, label names, tokenizer.

Layout of the cache; every name includes a fingerprint of what the entry was made from:

    cache_dir/
      tokenizer-<data, cut, tokenizer settings>   a trained tokenizer
      <source>-<data, cut, tokenizer>/            a complete data set: copy it anywhere and start
        dataset.json                              from it with config.data.token_cache
        tokenizer
        train/  development/  test/  ...          in the format of `token_cache`
"""

import dataclasses
import itertools
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lstm_flax.config import DataConfig, TokenizerConfig
from lstm_flax.data.cache_files import (
    digest,
    read_manifest,
    read_tokenizer,
    write_file,
    write_manifest,
    writing,
)
from lstm_flax.data.examples import Examples
from lstm_flax.data.loading import (
    available_splits,
    check_split,
    describe_source,
    extra_fingerprint,
    load_examples,
    read_extra,
)
from lstm_flax.data.sources import Source, open_source
from lstm_flax.data.token_cache import DamagedCacheError, read_split, write_split
from lstm_flax.errors import UserError
from lstm_flax.files import cache_folder, expanded
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.normalization import NORMALIZATION_VERSION
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.untrusted import require_own_files

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
_CHUNK = 2_000  # texts encoded between two updates of the progress bar
_SLOW = 1.0  # seconds before a progress bar shows
# Fields that must agree between a configuration and the cache folder it starts from.
_SETTINGS = {
    "data": (
        "source",
        "lowercase",
        "use_unlabelled",
        "development_fraction",
        "test_fraction",
        "split_seed",
    ),
    "tokenizer": ("kind", "vocab_size"),
}


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
        written = self._read(folder)
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


def open_dataset(
    data: DataConfig, settings: TokenizerConfig, tokenizer: Tokenizer | None = None
) -> Dataset:
    """Opens a data set; the second time, nothing is tokenised and no text is read.

    Args:
        data: the source, how it is cut, and the cache.
        settings: the tokenizer's settings.
        tokenizer: from a checkpoint; None uses the one in the cache or trains one now.

    Raises:
        UserError: the data is not available, malformed or too small, or the cache folder named in
            `config.data.token_cache` is damaged or was made with other settings.
    """
    if data.token_cache is not None:
        return _open_cache_alone(data, settings, expanded(data.token_cache), tokenizer)
    source = open_source(data)
    description = describe_source(data, source)
    cache = (
        cache_folder("config.data.cache_dir")
        if data.cache_dir is None
        else expanded(data.cache_dir)
    )
    read: dict[str, Examples] = {}
    if tokenizer is None:
        learned_from = vocabulary_splits(data, source.splits)
        described = {**dataclasses.asdict(settings), "lowercase": data.lowercase}
        described["texts"] = [source.fingerprint(name) for name in learned_from]
        path = cache / f"tokenizer-{digest([description, described, NORMALIZATION_VERSION])}"
        tokenizer = read_tokenizer(path)
        if tokenizer is None:
            logger.info("reading texts: %s", ", ".join(learned_from))
            read = {name: load_examples(data, name, source) for name in learned_from}
            number = sum(map(len, read.values()))
            logger.info("training a %s tokenizer on %s texts", settings.kind, f"{number:,}")
            texts = itertools.chain.from_iterable(examples.texts for examples in read.values())
            tokenizer = Tokenizer.train(texts, settings, data.lowercase)
            write_file(path, tokenizer.to_bytes())
    elif tokenizer.lowercase != data.lowercase:
        raise UserError(
            f"config.data.lowercase = {data.lowercase}, but the checkpoint's tokenizer was "
            f"trained with {tokenizer.lowercase}; use the checkpoint's value"
        )
    fingerprint = digest([description, tokenizer.fingerprint])
    name = re.sub(r"[^a-z0-9_]+", "_", data.source.lower())
    folder = cache / f"{name}-{fingerprint}"
    splits = available_splits(data, source)
    manifest = read_manifest(folder, FORMAT_VERSION)
    if manifest is None or read_tokenizer(folder / "tokenizer") is None:
        train = read["train"] if read else load_examples(data, "train", source)
        manifest = {
            "format": FORMAT_VERSION,
            "fingerprint": fingerprint,
            "label_names": list(train.label_names),
            "splits": list(splits),
            "settings": _settings(data, settings),
        }
        write_file(folder / "tokenizer", tokenizer.to_bytes())
        write_manifest(folder, manifest)
    dataset = Dataset(data, folder, manifest, tokenizer, source)
    for split, examples in read.items():  # already loaded: encode them before they are dropped
        dataset.encode(split, examples)
    return dataset


def vocabulary_splits(data: DataConfig, splits: Sequence[str]) -> list[str]:
    """Returns the splits for tokenizer and embeddings: training and, if asked, unlabelled."""
    unlabelled = data.use_unlabelled and "unsupervised" in splits
    return ["train", "unsupervised"] if unlabelled else ["train"]


def _open_cache_alone(
    data: DataConfig, tokenizer_settings: TokenizerConfig, folder: Path, tokenizer: Tokenizer | None
) -> Dataset:
    where = f"config.data.token_cache = {str(folder)!r}"
    require_own_files(folder)
    manifest, kept = read_manifest(folder, FORMAT_VERSION), read_tokenizer(folder / "tokenizer")
    if manifest is None or kept is None:
        raise UserError(
            f"{where}: no folder of encoded splits, or a damaged one; name one that a run "
            "made in config.data.cache_dir, or leave the field empty"
        )
    for area, fields in _settings(data, tokenizer_settings).items():
        for field, value in fields.items():
            there = manifest["settings"].get(area, {}).get(field)
            if there != value:
                raise UserError(
                    f"{where}: was made with config.{area}.{field} = {there!r}, not {value!r}; "
                    "use that value, or another folder"
                )
    if tokenizer is not None and tokenizer.fingerprint != kept.fingerprint:
        raise UserError(
            f"{where}: was encoded by another tokenizer than the checkpoint's; "
            "leave the field empty, or use the cache that the checkpoint was trained from"
        )
    if extra := extra_fingerprint(data):
        manifest |= {"fingerprint": digest([manifest["fingerprint"], extra])}
    return Dataset(data, folder, manifest, kept, source=None)


def _settings(data: DataConfig, tokenizer: TokenizerConfig) -> dict[str, dict[str, Any]]:
    areas = {"data": data, "tokenizer": tokenizer}
    return {
        area: {field: getattr(areas[area], field) for field in fields}
        for area, fields in _SETTINGS.items()
    }
