"""A text as a model reads it: its tokens, their positions, and the arrays made from them."""

import dataclasses
import re

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.batching import Batcher
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.spans import encode_with_spans
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import Batch

# Pieces of a word are joined inside the word: between letters or digits, and at an apostrophe or
# hyphen between two of them. Scripts written without spaces have no such positions.
_LETTER = r"(?:(?![぀-ヿ㐀-鿿豈-﫿฀-໿က-႟ក-៿\U00020000-\U0003134f])\w)"
_WORD = re.compile(rf"{_LETTER}+(?:['’\-]{_LETTER}+)*")

_MOSTLY = 0.5  # if more of a text than this is unknown, its answer means little


@dataclasses.dataclass(frozen=True)
class Token:
    """A piece of a text: one token, or a word of one or more tokens.

    Attributes:
        text: as in the text, before normalisation.
        start: where it begins in the text.
        end: where it ends.
    """

    text: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Reading:
    """One text, ready for a model.

    Attributes:
        text: raw.
        tokens: all n tokens.
        kept: i64[T], indices of the tokens that the model reads.
        split: the encoded text.
        batch: a batch with the text as its row, padded to its bucket's width.
    """

    text: str
    tokens: tuple[Token, ...]
    kept: np.ndarray
    split: TokenizedSplit
    batch: Batch


def read_text(text: str, encoder: TextEncoder, data: DataConfig) -> Reading:
    """Encodes one text in the same way as prediction.

    Args:
        text: not empty.
        encoder: the model's encoder.
        data: buckets and truncation of the model's run.
    """
    ids, spans = encode_with_spans(encoder.tokenizer, text)
    split, batch, kept = encode_row(ids, encoder, data)
    tokens = tuple(Token(text[start:end], int(start), int(end)) for start, end in spans)
    return Reading(text, tokens, kept, split, batch)


def encode_row(
    ids: np.ndarray, encoder: TextEncoder, data: DataConfig
) -> tuple[TokenizedSplit, Batch, np.ndarray]:
    """Returns token ids i32[n] as a split, as a one-row batch, and the kept tokens, i64[T]."""
    split = TokenizedSplit.from_sequences([ids], [-1])
    batcher = Batcher.from_config(split, encoder, data, batch_size=1)
    indices, width = batcher.evaluation_plan()[0]
    return split, batcher.make(indices, width), batcher.kept(0)


def group_words(text: str, tokens: tuple[Token, ...]) -> tuple[list[Token], np.ndarray]:
    """Joins the tokens of each word.

    >>> pieces = (Token("un", 0, 2), Token("end", 2, 5), Token("ing", 5, 8), Token("!", 8, 9))
    >>> words, word_of = group_words("unending!", pieces)
    >>> [word.text for word in words], word_of.tolist()
    (['unending', '!'], [0, 0, 0, 1])

    Args:
        text: raw.
        tokens: n of them, in order.

    Returns:
        The words, and i64[n], the word of each token.
    """
    inside = np.zeros(len(text) + 1, bool)  # positions where no word may be cut
    for match in _WORD.finditer(text):
        inside[match.start() + 1 : match.end()] = True
    words: list[Token] = []
    word_of = np.zeros(len(tokens), np.int64)
    for i, token in enumerate(tokens):
        if words and (inside[token.start] or token.start < words[-1].end):
            start, end = words[-1].start, max(words[-1].end, token.end)
            words[-1] = Token(text[start:end], start, end)
        else:
            words.append(token)
        word_of[i] = len(words) - 1
    return words, word_of


def unknown_warning(part: float) -> str | None:
    """Returns the warning for a text that is mostly unknown to a model; None for others.

    >>> unknown_warning(0.75), unknown_warning(0.1)
    ('75% of the text is unknown to the model', None)

    Args:
        part: unknown fraction of the text's characters, from 0 to 1.
    """
    return f"{part:.0%} of the text is unknown to the model" if part > _MOSTLY else None
