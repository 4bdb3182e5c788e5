"""The text encoder: everything between a raw text and the arrays that a model reads.

Normalisation and tokenizer turn a text into token ids; n-gram weights, for a model that uses them,
give every token features. Both are fitted on the training part and belong to a model as much as its
weights do, so every checkpoint keeps a `TextEncoder` as plain files.
"""

import functools
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_flax.config import TokenizerConfig
from lstm_flax.errors import UserError, one_line
from lstm_flax.text.hashing import text_hashes
from lstm_flax.text.ngrams.fitting import fit_ngram_weights
from lstm_flax.text.ngrams.weights import NgramWeights
from lstm_flax.text.normalization import NORMALIZATION_VERSION
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import KINDS, Tokenizer
from lstm_flax.untrusted import LARGEST_JSON, parse_json, reading_arrays

_FORMAT = 1
_TOKENIZER = "tokenizer.model"
_WEIGHTS = "ngram_ratios.npz"
_DESCRIPTION = "encoder.json"
_ARRAYS = ("keys", "tables", "groups")
_LARGEST_RATIO = 20  # of unpacked arrays to their file; below 4 for real weights
_SMALL = 1_000_000  # bytes that are always acceptable


class TextEncoder:
    """Converts raw texts to token ids and token features.

    Args:
        tokenizer: normalises and splits texts.
        ngrams: n-gram weights; None for a model that uses none.

    Attributes:
        tokenizer: as given.
        ngrams: as given.

    >>> encoder = TextEncoder.fit(["fine film", "dull film", "fine, fine", "dull"], [1, 0, 1, 0])
    >>> split = encoder.encode_split(["a fine film"])
    >>> split[0].tolist() == encoder.encode(["a fine film"])[0].tolist()
    True
    """

    def __init__(self, tokenizer: Tokenizer, ngrams: NgramWeights | None = None) -> None:
        self.tokenizer = tokenizer
        self.ngrams = ngrams
        self._cross_fitted: NgramWeights | None = None

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        ngram_order: int = 0,
        ngram_weights: str = "ratios",
        tokenizer: TokenizerConfig | None = None,
        lowercase: bool = True,
    ) -> "TextEncoder":
        """Trains the tokenizer and, if `ngram_order` > 0, fits the n-gram weights.

        Args:
            texts: raw texts of the training part alone.
            labels: i32[N], the class of each text, from 0; used only for the weights.
            ngram_order: n of the longest n-grams with weights; 0 for no token features.
            ngram_weights: `ratios` or `regression`, see `text/ngrams/fitting.py`.
            tokenizer: its settings; None for `word` with a vocabulary of at most 30,000.
            lowercase: True folds texts to lower case.

        Raises:
            UserError: there is no text, or the vocabulary is larger than the texts support.
        """
        settings = tokenizer or TokenizerConfig(kind="word", vocab_size=30_000)
        encoder = cls(Tokenizer.train(texts, settings, lowercase))
        if ngram_order == 0:
            return encoder
        split = encoder.encode_split(texts, labels)
        return encoder.fit_ngrams(split, int(np.max(labels)) + 1, ngram_order, ngram_weights)

    def fit_ngrams(
        self, split: TokenizedSplit, num_classes: int, order: int, kind: str = "ratios"
    ) -> "TextEncoder":
        """Fits n-gram weights to a training split, see `fit_ngram_weights`."""
        fitted = TextEncoder(self.tokenizer)
        fitted.ngrams, fitted._cross_fitted = fit_ngram_weights(split, num_classes, order, kind)
        return fitted

    def for_training(self, split: TokenizedSplit, num_classes: int) -> "TextEncoder":
        """Returns the encoder for texts that the weights may have been fitted to.

        A text's features must not reveal its own label: if any of the split's texts was counted,
        the weights are cross-fitted to the split. Otherwise this encoder is returned.
        """
        if self.ngrams is None or not self.ngrams.counted_any_of(split):
            return self
        if self._cross_fitted is None:
            _, self._cross_fitted = fit_ngram_weights(
                split, num_classes, self.ngrams.order, self.ngrams.kind
            )
        return TextEncoder(self.tokenizer, self._cross_fitted)

    def has_counted(self, split: TokenizedSplit) -> bool:
        """Returns True if the weights were fitted to any text of a split."""
        return self.ngrams is not None and self.ngrams.counted_any_of(split)

    @property
    def vocab_size(self) -> int:
        """V, the number of the tokenizer's pieces."""
        return self.tokenizer.vocab_size

    @property
    def ngram_order(self) -> int:
        """Order of the longest n-grams with weights; 0 if there are none."""
        return 0 if self.ngrams is None else self.ngrams.order

    @property
    def num_token_features(self) -> int:
        """F, features per token; 0 if there are none."""
        return 0 if self.ngrams is None else self.ngrams.size

    @property
    def sentence_ends(self) -> tuple[int, ...]:
        """Ids of the tokens that end a sentence, see `Tokenizer.sentence_ends`."""
        return self.tokenizer.sentence_ends

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encodes N raw texts to N arrays i32[length], see `Tokenizer.encode_batch`."""
        return self.tokenizer.encode_batch(texts)

    def encode_split(
        self, texts: Sequence[str], labels: Sequence[int] | np.ndarray | None = None
    ) -> TokenizedSplit:
        """Encodes N raw texts as one split in memory; equal texts form one group.

        Args:
            texts: none of them empty.
            labels: i32[N]; None for unlabelled texts.

        Raises:
            UserError: there is not one label per text, or one text is given in place of a list.
        """
        if isinstance(texts, str):
            raise UserError("texts: a single text; give a list of them")
        if labels is not None and len(labels) != len(texts):
            raise UserError(f"{len(texts)} texts and {len(labels)} labels; give one label per text")
        split = TokenizedSplit.from_sequences(
            self.encode(texts), np.full(len(texts), -1) if labels is None else labels
        )
        return TokenizedSplit(split.token_ids, split.offsets, split.labels, text_hashes(texts))

    def token_features(
        self, split: TokenizedSplit, indices: np.ndarray, positions: np.ndarray, valid: np.ndarray
    ) -> np.ndarray | None:
        """Computes the features of the tokens at some positions; None without n-gram weights.

        Args:
            split: encoded texts.
            indices: i64[n], examples of the split.
            positions: i64[n, T], into `split.token_ids`.
            valid: bool[n, T]; features of other positions are zero.

        Returns:
            f32[n, T, F].
        """
        if self.ngrams is None:
            return None
        return self.ngrams.features(split, indices, positions, valid)

    def to_files(self) -> dict[str, bytes]:
        """Returns the encoder as the contents of plain files, by name.

        `tokenizer.model` is an ordinary SentencePiece model, `encoder.json` describes how texts are
        normalised and split and holds the other files' checksums, and `ngram_ratios.npz`, if
        present, holds the arrays of `NgramWeights`.
        """
        return dict(self._files)

    @functools.cached_property
    def _files(self) -> dict[str, bytes]:
        files = {_TOKENIZER: self.tokenizer.model}
        if self.ngrams is not None:
            content = io.BytesIO()
            np.savez_compressed(content, **{name: getattr(self.ngrams, name) for name in _ARRAYS})
            files[_WEIGHTS] = content.getvalue()
        description = {
            "format": _FORMAT,
            "kind": self.tokenizer.kind,
            "lowercase": self.tokenizer.lowercase,
            "normalization": NORMALIZATION_VERSION,
            "ngram_order": self.ngram_order,
            "ngram_weights": None if self.ngrams is None else self.ngrams.kind,
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        return {_DESCRIPTION: json.dumps(description, indent=1).encode()} | files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "TextEncoder":
        """Inverts `to_files`.

        Raises:
            UserError: a file is missing, damaged, or of another version of this program.
        """
        try:
            if len(files[_DESCRIPTION]) > LARGEST_JSON:
                raise ValueError(f"{_DESCRIPTION} is far too large")
            description = parse_json(files[_DESCRIPTION])
            _check_description(description, files)
            tokenizer = Tokenizer(description["kind"], description["lowercase"], files[_TOKENIZER])
            if description["ngram_order"] == 0:
                return cls(tokenizer)
            kind = description.get("ngram_weights", "ratios")
            arrays = _read_arrays(files[_WEIGHTS])
            ngrams = NgramWeights(description["ngram_order"], **arrays, kind=kind)
            ngrams.check()
            return cls(tokenizer, ngrams)
        except (
            *(ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError),
            *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
        ) as error:
            raise UserError(
                f"the text encoder cannot be read ({one_line(error)}); restore it from an intact "
                "copy, or train again"
            ) from error


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Reads the arrays of `NgramWeights`, rejecting any that would unpack to an impossible size."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        unpacked = sum(entry.file_size for entry in packed.infolist())
    if unpacked > _LARGEST_RATIO * len(content) + _SMALL:
        raise ValueError(f"{_WEIGHTS} has {len(content):,} bytes and would unpack to {unpacked:,}")
    with reading_arrays(), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in _ARRAYS}


def _check_description(description: Any, files: Mapping[str, bytes]) -> None:
    """Checks that files match their description; raises `ValueError` or `KeyError` if not."""
    if not isinstance(description, dict):
        raise ValueError(f"{_DESCRIPTION} is not an object")
    if description["kind"] not in KINDS or not isinstance(description["lowercase"], bool):
        raise ValueError(f"{_DESCRIPTION} names no kind of tokenizer")
    for name, here in (("format", _FORMAT), ("normalization", NORMALIZATION_VERSION)):
        if description[name] != here:
            raise ValueError(f"its {name} is version {description[name]}, this program has {here}")
    wanted: Iterable[tuple[str, str]] = description["sha256"].items()
    for name, digest in wanted:
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ValueError(f"{name} is damaged: its checksum differs")
