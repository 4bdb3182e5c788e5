"""The automatic recipe: the fields of a configuration, chosen from the training part alone.

    choice = choose(train.texts, train.labels, fixed={"data.max_length": 64})
    for name, value in choice.fields.items():  # such as ("tokenizer.kind", "word")
        set the field `name` of the configuration to `value`
    print(choice.reason)

All chosen values are plain numbers or words, so a run's `config.json` shows them and flags can
change them. Fields that a user has set go into `fixed` with their values: they stay unchanged, and
dependent fields are chosen to fit them. The development and test parts are not used.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.text.normalization import normalize
from lstm_flax.text.script import has_no_spaces, words_of

_SAMPLE = 20_000  # texts examined, to limit the time that choosing takes
_LONGEST = 416  # tokens; more would take minutes per epoch on two cores
_MOST_PIECES = 30_000
_SPECIAL_PIECES = 4
# Texts to read in all epochs together: a minimum for any data, and more for each class.
_TEXTS_TO_READ = 40_000
_TEXTS_TO_READ_A_CLASS = 600
_UNBALANCED = 5  # times more examples of the largest class than of the smallest


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen fields, and the reason.

    Attributes:
        fields: dotted names of the configuration's fields, with their values.
        reason: one line on what was chosen and why.
    """

    fields: dict[str, Any]
    reason: str


def choose(
    texts: Sequence[str],
    labels: Sequence[Hashable] | np.ndarray,
    fixed: Mapping[str, Any] | None = None,
) -> Choice:
    """Chooses the fields of a classifier's configuration.

    >>> choice = choose(["a fine film", "a dull film"] * 50, ["good", "bad"] * 50)
    >>> choice.fields["data.max_length"], choice.fields["tokenizer.kind"]
    (32, 'word')
    >>> choose(["一部好电影", "一部坏电影"] * 50, [1, 0] * 50).fields["tokenizer.kind"]
    'char'

    Args:
        texts: raw texts of the training part.
        labels: the class of each text, as a name or a number.
        fixed: fields that the user has set, by dotted name; they are not chosen.

    Raises:
        UserError: there is no text.
    """
    if len(texts) == 0:
        raise UserError("the training part is empty: give texts with their labels")
    fixed = dict(fixed or {})
    lowercase = bool(fixed.get("data.lowercase", True))
    sample = [normalize(text, lowercase) for text in _evenly(texts, _SAMPLE)]
    kind = str(fixed.get("tokenizer.kind", "char" if has_no_spaces(sample) else "word"))
    pieces = [text if kind == "char" else words_of(text) for text in sample]
    lengths = np.array([max(len(p), 1) for p in pieces])
    count = len(texts)
    sizes = Counter(labels if not isinstance(labels, np.ndarray) else labels.tolist()).values()
    to_read = _TEXTS_TO_READ + _TEXTS_TO_READ_A_CLASS * len(sizes)
    fields: dict[str, Any] = {"data.lowercase": lowercase, "tokenizer.kind": kind}
    fields |= _lengths(lengths, fixed)
    fields["tokenizer.vocab_size"] = vocabulary = _vocabulary(pieces)
    fields |= {
        "tokenizer.max_training_texts": 100_000,
        "model.embedding_init": "cooccurrence",
        "model.ngram_order": 3,
        "model.ngram_weights": "ratios" if len(sizes) <= 2 else "regression",
        "model.ngram_votes": int(fixed.get("model.ngram_order", 3)) > 0,
        "model.hidden_size": 64,
        "model.embedding_dropout": 0.5 if count < 5_000 else 0.4,
        "data.batch_size": 16 if count < 2_000 else 32 if count < 20_000 else 64,
        "training.epochs": int(np.clip(round(to_read / count), 3, 20)),
    }
    unbalanced = max(sizes) > _UNBALANCED * min(sizes)
    if not fixed.get("training.class_weights"):
        fields["training.balance_classes"] = unbalanced
    fields = {name: value for name, value in fields.items() if name not in fixed}
    chosen = fields | fixed
    epochs = chosen["training.epochs"]
    pieces_name = {"char": "characters", "word": "words"}.get(kind, "pieces")
    reason = (
        f"{count:,} texts of {len(sizes)} classes: {pieces_name}, at most {vocabulary:,} of them; "
        f"{chosen['data.max_length']} tokens a text (99 in 100 have "
        f"{math.ceil(np.quantile(lengths, 0.99))} or fewer); {epochs} "
        f"epoch{'s' * (epochs != 1)} in batches of {chosen['data.batch_size']}"
    )
    if fields.get("training.balance_classes"):
        reason += f"; classes weighted, since the largest has {max(sizes):,} texts and the "
        reason += f"smallest {min(sizes):,}"
    return Choice(fields, reason)


def _lengths(lengths: np.ndarray, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Chooses the longest text length that the model sees, and the bucket widths."""
    widest = min(_wide(np.quantile(lengths, 0.99)), _LONGEST)
    longest = int(fixed.get("data.max_length", widest))
    if "data.bucket_widths" in fixed:
        longest = min(longest, max(fixed["data.bucket_widths"]))
    parts = {_wide(np.quantile(lengths, q)) for q in (0.25, 0.5, 0.75, 0.9)}
    widths = sorted({w for w in parts if w < longest} | {_wide(longest)})
    return {"data.max_length": longest, "data.bucket_widths": tuple(widths)}


def _wide(length: float) -> int:
    """Rounds up to a multiple of 32."""
    return 32 * max(math.ceil(length / 32), 1)


def _vocabulary(pieces: Sequence[Sequence[str]]) -> int:
    """Counts pieces that occur at least twice, plus special ones; at most `_MOST_PIECES`."""
    counts = Counter(piece for text in pieces for piece in text)
    recurring = sum(count > 1 for count in counts.values())
    return min(max(recurring, 100) + _SPECIAL_PIECES, _MOST_PIECES)


def _evenly(texts: Sequence[str], limit: int) -> list[str]:
    """Takes at most `limit` texts at even distances."""
    step = max(math.ceil(len(texts) / limit), 1)
    return list(texts[::step])
