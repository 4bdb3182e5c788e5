"""`config.model`: the classifier, and what the language model shares with it."""

import dataclasses

from lstm_flax.config.fields import require


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The classifier: embedding, recurrent stack, pooling, head.

    Attributes:
        cell: `lstm`, `gru` or `rnn` (tanh).
        embedding_size: E.
        embedding_init: `normal`, or `cooccurrence`: vectors of the training text's tokens from how
            often they stand near each other (`text/ppmi_svd.py`).
        ngram_order: n of the longest n-grams whose class ratios are inputs beside the embeddings
            (`text/ngrams.py`); 0 for none.
        hidden_size: H, of one direction.
        num_layers: L.
        bidirectional: a second stack reads each row from its last token to its first.
        pooling: `last` (final states), `mean`, `max`, `attention`, or `concat` (last, max, mean).
        head: `softmax` (C logits) or `sigmoid` (one logit; two classes only).
        embedding_dropout: rate on embeddings, one mask over all time steps of a row.
        word_dropout: rate at which vocabulary rows vanish for a whole batch.
        dropout: rate between recurrent layers.
        recurrent_dropout: rate on h_{t-1} before the gates.
        recurrent_dropout_per_step: a new mask each step instead of one per sequence.
        head_dropout: rate on the pooled vector.
        implementation: of the recurrence: `auto`, `scan`, `fused` or `cudnn` (for one GPU: several
            would each compute the whole batch).
        dtype: of computation, `float32` or `bfloat16`; parameters and cell states stay float32.
    """

    cell: str = "lstm"
    embedding_size: int = 128
    embedding_init: str = "normal"
    ngram_order: int = 0
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = True
    pooling: str = "concat"
    head: str = "softmax"
    embedding_dropout: float = 0.5
    word_dropout: float = 0.1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    head_dropout: float = 0.5
    implementation: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "cell": ("lstm", "gru", "rnn"),
            "embedding_init": ("normal", "cooccurrence"),
            "pooling": ("last", "mean", "max", "attention", "concat"),
            "head": ("softmax", "sigmoid"),
            "implementation": ("auto", "scan", "fused", "cudnn"),
            "dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            require(value in allowed, f"model.{name}", value, f"choose {' or '.join(allowed)}")
        for name in ("embedding_size", "hidden_size", "num_layers"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name}", value, "must be at least 1")
        require(
            self.ngram_order >= 0, "model.ngram_order", self.ngram_order, "must not be negative"
        )
        rates = (
            "embedding_dropout",
            "word_dropout",
            "dropout",
            "recurrent_dropout",
            "head_dropout",
        )
        for name in rates:
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name}", value, "must be at least 0 and below 1")
