"""The text classifier: embedding -> recurrent layers -> pooling -> head.

    token_ids i32[B, T] -> TokenEmbedding [B, T, E] -> LSTM [B, T, D*H] -> Pooling [B, D*H]
        (3*D*H with `concat`) -> Dense [B, C]

With `hierarchy="sentences"` the layers read each sentence on its own, pooling turns it into one
vector, and one more layer reads these vectors:

    [B, T, E] -> [B*S, n, E] -> LSTM -> Pooling [B, S, P] -> LSTM [B, S, D*H] -> Pooling -> Dense

>>> model = TextClassifier(vocab_size=100, num_classes=3, embedding_size=8, hidden_size=8)
>>> token_ids, lengths = jnp.array([[4, 5, 6], [7, 0, 0]]), jnp.array([3, 1])
>>> variables = model.init(jax.random.key(0), token_ids, lengths)
>>> model.apply(variables, token_ids, lengths).shape
(2, 3)
"""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.config import ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models.attributes import RATES, SIZES, check_numbers, shared_attributes
from lstm_flax.models.embedding import TokenEmbedding
from lstm_flax.models.hierarchical import gather_sentences, split_sentences
from lstm_flax.models.pooling import POOLINGS, Pooling
from lstm_flax.models.votes import NgramVotes
from lstm_flax.recurrent.checks import checked_lengths
from lstm_flax.recurrent.layers import GRU, LSTM, RNN
from lstm_flax.recurrent.merging import MERGES, merge_directions
from lstm_flax.types import Batch

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
HEADS = ("softmax", "sigmoid")
HIERARCHIES = ("none", "sentences")


class TextClassifier(nn.Module):
    """Maps token sequences to one row of logits per text.

    A row's logits depend neither on padding nor on the other rows of the batch.

    >>> model = TextClassifier(
    ...     vocab_size=100, num_classes=2, embedding_size=8, hidden_size=16, bidirectional=True,
    ...     pooling="concat", embedding_dropout=0.5, head_dropout=0.5,
    ... )
    >>> token_ids, lengths = jnp.array([[4, 5, 6], [7, 0, 0]]), jnp.array([3, 1])
    >>> variables = model.init(jax.random.key(0), token_ids, lengths)
    >>> model.apply(variables, token_ids, lengths).shape
    (2, 2)

    In training, dropout needs a key:

    >>> rngs = {"dropout": jax.random.key(1)}
    >>> model.apply(variables, token_ids, lengths, deterministic=False, rngs=rngs).shape
    (2, 2)

    Padding changes nothing:

    >>> wider = jnp.pad(token_ids, [(0, 0), (0, 5)])
    >>> both = model.apply(variables, token_ids, lengths), model.apply(variables, wider, lengths)
    >>> bool(jnp.allclose(*both, atol=1e-6))
    True

    Attributes:
        vocab_size: V.
        num_classes: C, at least 2.
        embedding_size: E.
        hidden_size: H, of one direction.
        num_layers: L.
        bidirectional: True adds a second direction that reads each row from its last token to its
            first (D = 2).
        direction_merge: how the two directions are merged, in every layer's outputs and in the last
            states: `concat`, `sum` or `mean`. With `sum` and `mean`, D*H below is H.
        cell: `lstm`, `gru` or `rnn`.
        pooling: `last` (final states), `mean`, `max`, `attention`, or `concat` (last, max, mean).
        head: `softmax` (a Dense layer of C features) or `sigmoid` (of one feature z, the log-odds
            of class 1; the logits are [0, z]). `sigmoid` needs C = 2.
        embedding_dropout: rate on embeddings, one mask over all time steps of a row.
        word_dropout: rate at which rows of the vocabulary are zeroed for a whole batch.
        dropout: rate between recurrent layers.
        recurrent_dropout: rate on h_{t-1} before the gates.
        recurrent_dropout_per_step: True draws a new mask each step instead of one per sequence.
        head_dropout: rate on the pooled vector.
        truncate_gradient_every: k, the number of tokens after which training cuts the gradient of
            the recurrent states; 0 keeps the whole gradient. Nothing is cut with `deterministic`:
            values are the same, and explanations need the whole gradient.
        hierarchy: `none` or `sentences`. With `sentences` the layers read each sentence on its own,
            and one more layer of H reads the pooled sentences (Yang et al. 2016; with
            `pooling="attention"` their attention). Both levels use the same pooling.
        sentence_length: n, the most tokens in a sentence, see `split_sentences`.
        sentence_ends: ids of the tokens that end a sentence.
        num_token_features: F, the number of features per token; a linear map of them is added to
            the embeddings. 0 for none.
        votes_order: n of the longest n-grams whose F features are also summed straight into the
            logits, see `NgramVotes`; 0 for no votes.
        votes_scale: the initial factor of these votes.
        implementation: of the recurrence: `auto`, `scan`, `fused` or `cudnn`.
        dtype: dtype of the computation; parameters and logits are float32.

    Raises:
        UserError: cell, direction merge, hierarchy, pooling or head is not one of the above, a
            sigmoid head is used with a number of classes other than two, or `votes_order` and the
            features do not fit.
    """

    vocab_size: int
    num_classes: int
    embedding_size: int = 128
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = False
    direction_merge: str = "concat"
    cell: str = "lstm"
    pooling: str = "last"
    head: str = "softmax"
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    head_dropout: float = 0.0
    truncate_gradient_every: int = 0
    hierarchy: str = "none"
    sentence_length: int = 50
    sentence_ends: tuple[int, ...] = ()
    num_token_features: int = 0
    votes_order: int = 0
    votes_scale: float = 0.3
    implementation: str = "auto"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        check_numbers(self, (*SIZES, "num_classes", "sentence_length"), RATES)
        _check_choice("cell", self.cell, tuple(CELLS))
        _check_choice("direction_merge", self.direction_merge, MERGES)
        _check_choice("pooling", self.pooling, POOLINGS)
        _check_choice("head", self.head, HEADS)
        _check_choice("hierarchy", self.hierarchy, HIERARCHIES)
        if self.head == "sigmoid" and self.num_classes != 2:
            raise UserError(
                f"model.head = 'sigmoid' with {self.num_classes} classes: one logit separates two "
                "classes; use head = 'softmax'"
            )
        ratios = 1 if self.num_classes == 2 else self.num_classes
        if self.votes_order > 0 and self.num_token_features != self.votes_order * ratios:
            raise UserError(
                f"votes_order = {self.votes_order} with {self.num_classes} classes and "
                f"num_token_features = {self.num_token_features}: votes need "
                f"{self.votes_order * ratios} features"
            )
        super().__post_init__()

    @classmethod
    def from_config(
        cls,
        config: ModelConfig,
        vocab_size: int,
        num_classes: int,
        num_token_features: int = 0,
        sentence_ends: tuple[int, ...] = (),
    ) -> "TextClassifier":
        """Builds the classifier that a configuration describes.

        >>> model = TextClassifier.from_config(ModelConfig(), vocab_size=100, num_classes=2)
        >>> model.bidirectional, model.pooling
        (True, 'concat')

        Args:
            config: `config.model` of a run.
            vocab_size: V, from the tokenizer.
            num_classes: C, from the data set.
            num_token_features: F, from the text encoder.
            sentence_ends: from the text encoder; for a hierarchy of sentences.

        Raises:
            UserError: a sigmoid head is used with a number of classes other than two.
        """
        return cls(
            vocab_size,
            num_classes,
            cell=config.cell,
            direction_merge=config.direction_merge,
            truncate_gradient_every=config.truncate_gradient_every,
            hierarchy=config.hierarchy,
            sentence_length=config.sentence_length,
            sentence_ends=sentence_ends if config.hierarchy == "sentences" else (),
            pooling=config.pooling,
            head=config.head,
            num_token_features=num_token_features,
            votes_order=config.ngram_order if config.ngram_votes else 0,
            votes_scale=1.0 if config.ngram_weights == "regression" else 0.3,
            **shared_attributes(config),
        )

    @nn.compact
    def __call__(
        self,
        token_ids: jax.Array,
        lengths: jax.Array,
        token_features: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Classifies one batch.

        Args:
            token_ids: i32[B, T]; ids past a row's length are not read.
            lengths: i32[B], from 1 to T.
            token_features: f32[B, T, F], zero past each row's length, if `num_token_features` is
                not 0.
            deterministic: True turns all dropout off; False needs a `dropout` key.

        Returns:
            Logits f32[B, C].

        Raises:
            UserError: `token_features` is missing, unexpected or of the wrong shape; or lengths or
                token ids, if known, are out of range.
        """
        self._check_token_features(token_features, token_ids.shape)
        lengths = checked_lengths(lengths, token_ids.shape[1], token_ids.shape[0])
        embedded = TokenEmbedding(
            self.vocab_size,
            self.embedding_size,
            self.embedding_dropout,
            self.word_dropout,
            self.dtype if token_features is None else jnp.promote_types(self.dtype, jnp.float32),
            name="embedding",
        )(token_ids, lengths, deterministic)
        if token_features is not None:
            linear = nn.Dense(self.embedding_size, use_bias=False, name="ngrams")
            embedded = (embedded + linear(token_features)).astype(self.dtype)
        if self.hierarchy == "sentences":
            sentences = split_sentences(
                token_ids, lengths, self.sentence_ends, self.sentence_length
            )
            rows, row_lengths = gather_sentences(embedded, sentences, self.sentence_length)
            outputs, last = self._read(rows, row_lengths, self.num_layers, deterministic)
            vectors = Pooling(self.pooling, name="sentence_pooling")(outputs, last, row_lengths)
            read = vectors.reshape(*sentences.lengths.shape, -1).astype(self.dtype)
            read = nn.Dropout(self.dropout)(read, deterministic=deterministic)
            units = sentences.counts
            outputs, last = self._read(read, units, 1, deterministic, "document")
        else:
            units = lengths
            outputs, last = self._read(embedded, units, self.num_layers, deterministic)
        pooled = Pooling(self.pooling, name="pooling")(outputs, last, units)
        pooled = nn.Dropout(self.head_dropout)(pooled, deterministic=deterministic)
        num_outputs = self.num_classes if self.head == "softmax" else 1
        logits = nn.Dense(num_outputs, name="head")(pooled)
        if self.votes_order > 0 and token_features is not None:
            votes = NgramVotes(self.votes_order, num_outputs, self.votes_scale, name="votes")
            logits += votes(token_features, lengths)
        if self.head == "softmax":
            return logits
        return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)

    def _read(
        self,
        x: jax.Array,
        lengths: jax.Array,
        num_layers: int,
        deterministic: bool,
        name: str = "recurrent",
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the recurrent layers on [B, T, E]: outputs [B, T, D*H], last states [B, D*H]."""
        outputs, final = CELLS[self.cell](
            self.hidden_size,
            num_layers=num_layers,
            bidirectional=self.bidirectional,
            direction_merge=self.direction_merge,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            recurrent_dropout_per_step=self.recurrent_dropout_per_step,
            truncate_gradient_every=0 if deterministic else self.truncate_gradient_every,
            implementation=self.implementation,
            dtype=self.dtype,
            name=name,
        )(x, lengths, deterministic=deterministic)
        h_n = final[0] if self.cell == "lstm" else final
        last = h_n[-1]
        if self.bidirectional:
            last = merge_directions(jnp.concatenate(list(h_n[-2:]), axis=-1), self.direction_merge)
        return outputs, last

    def _check_token_features(self, features: Any, shape: Sequence[int]) -> None:
        found = None if features is None else jnp.shape(features)
        expected = (*shape, self.num_token_features) if self.num_token_features > 0 else None
        if found != expected:
            raise UserError(
                f"token_features of shape {found}: a model with num_token_features = "
                f"{self.num_token_features} takes {expected or 'none'} with token_ids of shape "
                f"{tuple(shape)}"
            )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"model.{name} = {value!r}: choose {' or '.join(choices)}")


def apply_classifier(
    model: TextClassifier, params: Any, batch: Batch, dropout_key: jax.Array | None = None
) -> jax.Array:
    """Computes the logits of a batch.

    >>> model = TextClassifier(vocab_size=100, num_classes=3, embedding_size=8, hidden_size=8)
    >>> batch = Batch(jnp.array([[4, 5]]), jnp.array([2]), jnp.array([1]), jnp.array([True]))
    >>> params = model.init(jax.random.key(0), batch.token_ids, batch.lengths)["params"]
    >>> apply_classifier(model, params, batch).shape
    (1, 3)

    Args:
        model: the module.
        params: its parameters.
        batch: B rows.
        dropout_key: for training; None turns dropout off. Equal keys draw equal masks.

    Returns:
        f32[B, C].
    """
    logits = model.apply(
        {"params": params},
        batch.token_ids,
        batch.lengths,
        batch.token_features,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(jax.Array, logits)
