"""`config.model`: the classifier, and what the language model shares with it."""

import dataclasses

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class ModelConfig(Section, at="model"):
    """The classifier: embedding, recurrent stack, pooling, head.

    Attributes:
        cell: `lstm`, `gru` or `rnn` (tanh).
        embedding_size: E.
        embedding_init: `normal`, or `cooccurrence` for PPMI-SVD embeddings of the training text
            (`text/ppmi_svd.py`).
        pretrained_vectors: a file of GloVe, word2vec or fastText vectors of size E to start the
            embedding from, or `glove-50d` (`text/vectors.py`); if absent, `embedding_init` applies.
        freeze_embedding: True keeps the embedding at its initial values.
        ngram_order: n of the longest n-grams whose weights are inputs besides the embeddings
            (`text/ngrams/weights.py`); 0 for none.
        ngram_weights: `ratios` (naive-Bayes log-count ratios) or `regression` (from a logistic
            regression), cross-fitted (`text/ngrams/fitting.py`).
        ngram_votes: True also sums the weights of a text's n-grams straight into the logits
            (`models/votes.py`).
        hidden_size: H, of one direction.
        num_layers: L.
        bidirectional: True adds a second stack that reads each row from its last token to its
            first.
        direction_merge: how the two directions are merged, in every layer's outputs and in the
            final states: `concat`, `sum` or `mean`.
        pooling: `last` (final states), `mean`, `max`, `attention`, or `concat` (last, max, mean).
        head: `softmax` (C logits) or `sigmoid` (one logit; two classes only).
        embedding_dropout: rate on embeddings, one mask over all time steps of a row.
        word_dropout: rate at which vocabulary rows vanish for a whole batch.
        dropout: rate between recurrent layers.
        recurrent_dropout: rate on h_{t-1} before the gates.
        recurrent_dropout_per_step: True draws a new mask each step instead of one per sequence.
        head_dropout: rate on the pooled vector.
        truncate_gradient_every: k, the number of tokens after which training cuts the gradient of
            the recurrent states, counted in each direction from where it starts reading; saves
            memory on long texts. 0 keeps the whole gradient.
        hierarchy: `none`, or `sentences`: the layers read each sentence on its own, and one more
            layer of H reads the pooled sentences (`models/hierarchical.py`).
        sentence_length: the most tokens in a sentence; a longer one is split, and one of less than
            half as many is joined to the next.
        implementation: of the recurrence: `auto`, `scan`, `fused` or `cudnn` (for one GPU: several
            would each compute the whole batch).
        dtype: of products and outputs: `float32`, `bfloat16`, or `auto` for the faster one: a run
            begins with bfloat16 on CPUs that multiply it, with float32 elsewhere, and keeps that
            dtype. Parameters, sums and cell states are always float32.
    """

    cell: str = field("lstm", choices=("lstm", "gru", "rnn"))
    embedding_size: int = field(128, at_least=1)
    embedding_init: str = field("normal", choices=("normal", "cooccurrence"))
    pretrained_vectors: str | None = None
    freeze_embedding: bool = False
    ngram_order: int = field(0, at_least=0, at_most=16)
    ngram_weights: str = field("ratios", choices=("ratios", "regression"))
    ngram_votes: bool = False
    hidden_size: int = field(128, at_least=1)
    num_layers: int = field(1, at_least=1, at_most=1000)
    bidirectional: bool = True
    direction_merge: str = field("concat", choices=("concat", "sum", "mean"))
    pooling: str = field("concat", choices=("last", "mean", "max", "attention", "concat"))
    head: str = field("softmax", choices=("softmax", "sigmoid"))
    embedding_dropout: float = field(0.5, at_least=0, below=1)
    word_dropout: float = field(0.1, at_least=0, below=1)
    dropout: float = field(0.0, at_least=0, below=1)
    recurrent_dropout: float = field(0.0, at_least=0, below=1)
    recurrent_dropout_per_step: bool = False
    head_dropout: float = field(0.5, at_least=0, below=1)
    truncate_gradient_every: int = field(0, at_least=0)
    hierarchy: str = field("none", choices=("none", "sentences"))
    sentence_length: int = field(50, at_least=2, at_most=100_000)
    implementation: str = field("auto", choices=("auto", "scan", "fused", "cudnn"))
    dtype: str = field("float32", choices=("float32", "bfloat16", "auto"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.ngram_order > 0 or not self.ngram_votes,
            "ngram_votes",
            "no n-grams are counted; set config.model.ngram_order to 1 or more",
        )
        self.require(
            self.bidirectional or self.direction_merge == "concat",
            "direction_merge",
            "one direction has nothing to merge; set config.model.bidirectional to True, or leave "
            "this out",
        )
        self.require(
            self.hierarchy == "none" or self.truncate_gradient_every == 0,
            "truncate_gradient_every",
            "a hierarchy reads no more than a sentence at a time; leave one of them out",
        )
