"""SentencePiece tokenizers: train, save, encode, decode.

A `Tokenizer` owns everything that turns raw text into token ids: the SentencePiece model, its kind
and the normalisation. Its bytes, saved in each checkpoint, are all that prediction needs.
"""

import functools
import hashlib
import io
import json
import re
import struct
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import sentencepiece

from lstm_flax.config import TokenizerConfig
from lstm_flax.errors import UserError, one_line
from lstm_flax.text.normalization import NORMALIZATION_VERSION, normalize
from lstm_flax.text.script import WORD
from lstm_flax.text.sentencepiece_model import normalizer_spec
from lstm_flax.types import PAD_ID
from lstm_flax.untrusted import parse_json

UNKNOWN_ID = 1
BEGIN_ID = 2
END_ID = 3
KINDS = ("unigram", "bpe", "word", "char")

_SPACE = "\u2581"  # how pieces mark a space
_RESERVED = "\u2585"
_MAGIC = b"lstm_flax tokenizer 1\n"
# The trainer receives up to 4,096 characters at a time, cut at a space if possible, because it uses
# 16-bit positions within a run without spaces (any Chinese text).
_SEGMENT = re.compile(r".{1,4096}(?= |$)|.{1,4096}")
_SYMBOL = re.compile(r"[^\w\s]")
_SYMBOL_MIN_COUNT = 5
# A piece of punctuation alone that contains a full stop or similar: `.`, `?!`, `."`.
_SENTENCE_END = re.compile(r"[^\w\s]*[.!?…。！？]+[^\w\s]*")


class Tokenizer:
    """Converts raw text to token ids and back.

    Ids 0 to 3 are padding, unknown, begin and end of text. Of these, `encode_batch` produces only
    the unknown token.

    Args:
        kind: `unigram`, `bpe`, `word` or `char`.
        lowercase: True folds texts to lower case.
        model: a serialised SentencePiece model, kept unchanged.
    """

    def __init__(self, kind: str, lowercase: bool, model: bytes) -> None:
        self.kind = kind
        self.lowercase = lowercase
        self.model = model
        normalizer = normalizer_spec(model)
        self._processor = sentencepiece.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)
        self.vocab_size: int = self._processor.GetPieceSize()
        if self.vocab_size <= END_ID or self._processor.unk_id() != UNKNOWN_ID:
            raise ValueError("not a tokenizer of this program: its special pieces differ")
        self.fingerprint: str = self._make_fingerprint(normalizer)

    @classmethod
    def train(
        cls, texts: Iterable[str], config: TokenizerConfig, lowercase: bool = False
    ) -> "Tokenizer":
        """Trains a tokenizer; equal texts and configuration give equal pieces.

        Args:
            texts: raw texts of the training part alone.
            config: kind, size, sample and thread count.
            lowercase: True folds texts to lower case, in training and in all later use.

        Raises:
            UserError: there is no text, or more pieces are requested than the texts support.
        """
        sample = [normalize(text, lowercase) for text in _sample(texts, config.max_training_texts)]
        if not any(sample):
            raise UserError("the tokenizer has no text to learn from: the training part is empty")
        if config.kind == "word":
            sample = [" ".join(WORD.findall(text)) for text in sample]
        sample = _drop_rare_characters(sample, config.character_coverage)
        # SentencePiece skips sentences that contain its own sign for unknown tokens.
        sample = [text.replace(_RESERVED, " ") for text in sample]
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=(s for text in sample for s in _SEGMENT.findall(text)),
                model_writer=model,
                model_type=config.kind,
                vocab_size=config.vocab_size,
                # The texts determine the number of words or characters; vocab_size only limits it.
                hard_vocab_limit=config.kind not in ("char", "word"),
                character_coverage=1.0,  # of the characters that `_drop_rare_characters` left
                num_threads=config.num_threads,
                pad_id=PAD_ID,
                unk_id=UNKNOWN_ID,
                bos_id=BEGIN_ID,
                eos_id=END_ID,
                normalization_rule_name="identity",  # `normalize` has already run
                max_sentence_length=1 << 30,  # bytes; the default drops longer reviews silently
                minloglevel=3,
            )
        except RuntimeError as error:
            raise _training_error(error, config) from error
        return cls(config.kind, lowercase, model.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Tokenizer":
        """Reads the bytes written by `to_bytes`.

        Raises:
            UserError: the bytes are damaged or of another version of this program.
        """
        try:
            if not data.startswith(_MAGIC):
                raise ValueError("not a tokenizer file")
            header_line, model = data[len(_MAGIC) :].split(b"\n", 1)
            header = parse_json(header_line)
            if header["kind"] not in KINDS or not isinstance(header["lowercase"], bool):
                raise ValueError("its kind is unknown")
            if header["normalization"] != NORMALIZATION_VERSION:
                raise ValueError(
                    f"its text normalisation is version {header['normalization']}, "
                    f"this program has version {NORMALIZATION_VERSION}"
                )
            if header["model_sha256"] != hashlib.sha256(model).hexdigest():
                raise ValueError("damaged: the checksum differs")
            return cls(header["kind"], header["lowercase"], model)
        except (ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
            raise UserError(
                f"the tokenizer cannot be read ({one_line(error)}); restore it from an intact "
                "copy, or train again"
            ) from error

    def to_bytes(self) -> bytes:
        """Serialises the whole tokenizer: a line naming the format, a JSON header, the model."""
        header = {
            "kind": self.kind,
            "lowercase": self.lowercase,
            "normalization": NORMALIZATION_VERSION,
            "model_sha256": hashlib.sha256(self.model).hexdigest(),
        }
        return _MAGIC + json.dumps(header).encode() + b"\n" + self.model

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encodes raw texts.

        Args:
            texts: raw texts; normalised here.

        Returns:
            One i32[length] per text, never empty: a text that normalises to nothing becomes the
            unknown token. Callers decide whether an empty text is a mistake.
        """
        return self._encode([self._prepare(text) for text in texts])

    def encode_measured(self, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Encodes raw texts and measures what fraction of each is unknown.

        Returns:
            The result of `encode_batch`, and f64[N] from 0 to 1: the fraction of each text's
            characters, without spaces, that are in unknown tokens. (Tokens are not counted, because
            one unknown token may cover several words.)
        """
        prepared = [self._prepare(text) for text in texts]
        encoded = self._encode(prepared)
        lengths = [len(text) - text.count(" ") for text in prepared]
        known = [self._piece_lengths[ids].sum() for ids in encoded]
        return encoded, 1 - np.array(known) / np.maximum(lengths, 1)

    @functools.cached_property
    def _piece_lengths(self) -> np.ndarray:
        """Counts the characters of each piece, i64[V], without spaces; 0 for special pieces."""
        pieces = self.pieces(range(self.vocab_size))
        lengths = np.array([len(piece.replace(_SPACE, "")) for piece in pieces])
        lengths[: END_ID + 1] = 0
        return lengths

    @functools.cached_property
    def sentence_ends(self) -> tuple[int, ...]:
        """Ids of the pieces that end a sentence: punctuation alone, with a full stop or similar.

        The full stop of an abbreviation also counts as one; and no piece ends a sentence if pieces
        combine words and punctuation.
        """
        pieces = self.pieces(range(END_ID + 1, self.vocab_size))
        return tuple(
            index + END_ID + 1
            for index, piece in enumerate(pieces)
            if _SENTENCE_END.fullmatch(piece.replace(_SPACE, ""))
        )

    def _prepare(self, text: str) -> str:
        normalized = normalize(text, self.lowercase)
        return " ".join(WORD.findall(normalized)) if self.kind == "word" else normalized

    def surfaces(self, normalized: str) -> tuple[list[str], np.ndarray]:
        """Splits a normalised text into its tokens.

        Returns:
            The characters of each token, with `▁` for the space before it and unknown characters as
            in the text; and i64[m]: the position in the text of each of these characters except the
            first, which is not in the text.
        """
        places = np.arange(len(normalized))
        if self.kind == "word":
            words = [match.span() for match in WORD.finditer(normalized)]
            places = np.array([i for start, end in words for i in (start, *range(start, end))][1:])
            normalized = " ".join(normalized[start:end] for start, end in words)
        return self._processor.EncodeAsPieces(normalized), places

    def _encode(self, prepared: Sequence[str]) -> list[np.ndarray]:
        encoded = self._processor.EncodeAsIds(list(prepared), num_threads=-1)
        return [np.array(ids or [UNKNOWN_ID], dtype=np.int32) for ids in encoded]

    @property
    def word_pattern(self) -> str | None:
        """The regular expression for words in the `word` tokenizer; None for other kinds."""
        return WORD.pattern if self.kind == "word" else None

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes token ids to text; special pieces other than the unknown one are left out."""
        return str(self._processor.DecodeIds([int(i) for i in ids]))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Returns the piece of each token id; `▁` stands for a space."""
        return [self._processor.IdToPiece(int(i)) for i in ids]

    def _make_fingerprint(self, normalizer: bytes) -> str:
        """Hashes everything that determines the ids, rather than the model file's bytes.

        Files with equal pieces differ, because they record how they were trained.
        """
        digest = hashlib.sha256()
        header = (self.kind, self.lowercase, NORMALIZATION_VERSION, WORD.pattern)
        digest.update(repr(header).encode())
        digest.update(normalizer)
        for i in range(self.vocab_size):
            digest.update(self._processor.IdToPiece(i).encode() + b"\0")
            digest.update(struct.pack("<f", self._processor.GetScore(i)))
        return digest.hexdigest()[:16]


def _sample(texts: Iterable[str], limit: int) -> list[str]:
    """Takes at most `limit` texts, in order, the same on every call."""
    texts = list(texts)
    if len(texts) <= limit:
        return texts
    keys = np.random.Philox(key=0).random_raw(len(texts))
    return [texts[i] for i in np.sort(np.argsort(keys, kind="stable")[:limit])]


def _drop_rare_characters(texts: Sequence[str], coverage: float) -> list[str]:
    """Removes the characters that should be unknown.

    SentencePiece's own coverage drops the rarest characters regardless of meaning: in English
    reviews, the 6 and 7 of "7/10" and every emoji, although each says more about the sentiment than
    a word. The alphabet is therefore chosen here: the most frequent characters up to the coverage,
    all printable ASCII, and symbols that occur repeatedly.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    del counts[" "]
    limit = coverage * counts.total()
    covered, rare = 0, ""
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        recurs = count >= _SYMBOL_MIN_COUNT and _SYMBOL.fullmatch(character)
        if covered >= limit and not "!" <= character <= "~" and not recurs:
            rare += character
        covered += count
    if not rare:
        return list(texts)
    pattern = re.compile(f"[{re.escape(rare)}]")
    return [pattern.sub(" ", text) for text in texts]


def _training_error(error: RuntimeError, config: TokenizerConfig) -> UserError:
    message = str(error)
    largest = re.search(r"too high .*value <= (\d+)", message)
    smallest = re.search(r"smaller than required_chars. (\d+) vs (\d+)", message)
    problem = f"config.tokenizer.vocab_size = {config.vocab_size}: "
    if smallest:
        needed = max(int(n) for n in smallest.groups())
        return UserError(
            f"{problem}the training text has {needed} characters and special pieces; "
            f"choose more than {needed}, or lower config.tokenizer.character_coverage"
        )
    if largest:
        return UserError(
            f"{problem}more than the training text supports; "
            f"set --config.tokenizer.vocab_size={largest[1]} or fewer"
        )
    return UserError(
        f"the tokenizer could not be trained on this text ({' '.join(message.split())}); "
        "try a smaller config.tokenizer.vocab_size"
    )
