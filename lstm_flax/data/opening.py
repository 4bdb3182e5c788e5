"""Opens a data set: from its texts, or from the folder of a cache that holds it encoded.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lstm_flax.config import DataConfig, TokenizerConfig
from lstm_flax.data.cache_files import (
    digest,
    read_manifest,
    read_tokenizer,
    write_file,
    write_manifest,
)
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.examples import Examples
from lstm_flax.data.loading import (
    available_splits,
    describe_source,
    extra_fingerprint,
    load_examples,
)
from lstm_flax.data.sources import open_source
from lstm_flax.errors import UserError
from lstm_flax.files import cache_folder, expanded
from lstm_flax.text.normalization import NORMALIZATION_VERSION
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.untrusted import require_own_files

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
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
