"""The language model: embedding -> recurrent layers for each direction -> tied softmax.

With two directions it is two language models trained together, one reading forward and one reading
each text from its end. They share embedding and softmax and never see each other's states (Peters
et al. 2018, section 3.1). The names of the embedding and recurrent parameters match those of
`TextClassifier`, as do their shapes with one layer, so the classifier can start from them.

>>> model = LanguageModel(vocab_size=100, embedding_size=8, hidden_size=8)
>>> token_ids, carry = jnp.array([[[4, 5, 6]]]), model.initial_carry(batch_size=1)
>>> params = model.init(jax.random.key(0), token_ids, carry)["params"]
>>> queries, _, carry = read_piece(model, params, token_ids, carry)
>>> queries.shape
(1, 1, 3, 8)
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.config import LanguageModelConfig, ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.models.attributes import RATES, SIZES, check_numbers, shared_attributes
from lstm_flax.models.embedding import TokenEmbedding
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.layers import LSTM

# h and c of all directions: f32[D, L, B, H] each.
Carry = tuple[jax.Array, jax.Array]


class LanguageModel(nn.Module):
    """Predicts each token from the preceding tokens, in reading order.

    >>> model = LanguageModel(vocab_size=100, embedding_size=8, hidden_size=8)
    >>> token_ids = jnp.array([[[4, 5, 6]], [[7, 8, 9]]])
    >>> carry = model.initial_carry(batch_size=2)
    >>> variables = model.init(jax.random.key(0), token_ids, carry)
    >>> queries, outputs, carry = model.apply(variables, token_ids, carry)
    >>> queries.shape, outputs.shape, carry[0].shape
    ((2, 1, 3, 8), (2, 1, 3, 8), (1, 1, 2, 8))

    The logits of the next token, at every step:

    >>> table, bias = softmax_weights(variables["params"])
    >>> (queries @ table.T + bias).shape
    (2, 1, 3, 100)

    Attributes:
        vocab_size: V.
        embedding_size: E.
        hidden_size: H, of one direction.
        num_layers: L.
        bidirectional: True adds a second model that reads the text backwards (D = 2).
        embedding_dropout: rate on embeddings, one mask over all time steps of a row.
        word_dropout: rate at which rows of the vocabulary are zeroed for a whole batch.
        dropout: rate between recurrent layers.
        recurrent_dropout: rate on h_{t-1} before the gates.
        recurrent_dropout_per_step: True draws a new mask each step instead of one per sequence.
        head_dropout: rate on the top layer's outputs, one mask over all time steps of a row.
        weight_drop: rate on single hidden-to-hidden weights, one mask per call
            (`drop_recurrent_weights`).
        implementation: of the recurrence: `auto`, `scan`, `fused` or `cudnn`.
        dtype: dtype of the computation; parameters and carried states are float32.
    """

    vocab_size: int
    embedding_size: int = 128
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = False
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    head_dropout: float = 0.0
    weight_drop: float = 0.0
    implementation: str = "auto"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        check_numbers(self, SIZES, (*RATES, "weight_drop"))
        super().__post_init__()

    @classmethod
    def from_config(
        cls, config: ModelConfig, settings: LanguageModelConfig, vocab_size: int
    ) -> "LanguageModel":
        """Builds the language model that a configuration describes.

        >>> config = ModelConfig(bidirectional=False)
        >>> LanguageModel.from_config(config, LanguageModelConfig(), vocab_size=100).directions
        1

        Args:
            config: `config.model` of a run; cell, pooling and head are not used.
            settings: `config.language_model`; the module uses only `weight_drop`.
            vocab_size: V, from the tokenizer.
        """
        return cls(
            vocab_size,
            weight_drop=settings.weight_drop,
            **shared_attributes(config),
        )

    @property
    def directions(self) -> int:
        """Returns D: 1 for forward, 2 for forward and backward."""
        return 2 if self.bidirectional else 1

    def initial_carry(self, batch_size: int) -> Carry:
        """Returns zero states, for the first piece of text.

        >>> LanguageModel(vocab_size=100, hidden_size=8).initial_carry(batch_size=2)[0].shape
        (1, 1, 2, 8)
        """
        shape = (self.directions, self.num_layers, batch_size, self.hidden_size)
        # Distinct arrays: a donated state must not contain the same buffer twice.
        return jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32)

    @nn.compact
    def __call__(
        self, token_ids: jax.Array, carry: Carry, deterministic: bool = True
    ) -> tuple[jax.Array, jax.Array, Carry]:
        """Reads one piece of running text.

        Args:
            token_ids: i32[B, D, T]; the backward direction's are in its own reading order.
            carry: the states at the end of the previous piece, or `initial_carry`.
            deterministic: True turns all dropout off; False needs a `dropout` key.

        Returns:
            queries [B, D, T, E], whose products with all tokens' embeddings are the logits (see
            `softmax_weights`); outputs [B, D, T, H] of the top layer, after dropout; and the
            carry for the next piece, through which no gradient flows.

        Raises:
            UserError: token ids or the carry have the wrong shape.
        """
        shape = jnp.shape(token_ids)
        if len(shape) != 3 or shape[1] != self.directions or 0 in shape:
            raise UserError(
                f"token_ids of shape {shape}: must be [B, {self.directions}, T], none of them 0"
            )
        expected = (self.directions, self.num_layers, shape[0], self.hidden_size)
        if (found := [jnp.shape(state) for state in carry]) != [expected] * 2:
            raise UserError(f"carry of shapes {found}: must be two of {expected}")
        rows, directions, steps = shape
        embedding = TokenEmbedding(
            self.vocab_size,
            self.embedding_size,
            self.embedding_dropout,
            self.word_dropout,
            self.dtype,
            name="embedding",
        )
        self.param("softmax_bias", nn.initializers.zeros_init(), (self.vocab_size,), jnp.float32)
        lengths = jnp.full(rows * directions, steps, jnp.int32)
        embedded = embedding(token_ids.reshape(-1, steps), lengths, deterministic)
        embedded = embedded.reshape(rows, directions, steps, -1)
        recurrent = self.param("recurrent", self._init_recurrent)
        if self.weight_drop > 0 and not deterministic:
            key = self.make_rng("dropout")
            recurrent = drop_recurrent_weights(recurrent, self.weight_drop, key)
        outputs, finals = [], []
        for direction in range(directions):
            reader = self._reader()
            # Both directions use a forward LSTM: the backward text comes in reading order.
            params = _cells(recurrent, direction, 0, self.num_layers)
            state = (carry[0][direction], carry[1][direction])
            read, final = reader.apply(
                {"params": params},
                embedded[:, direction],
                initial_state=state,
                deterministic=deterministic,
                rngs=None if deterministic else {"dropout": self.make_rng("dropout")},
            )
            # One mask over all time steps of a row.
            dropout = nn.Dropout(self.head_dropout, broadcast_dims=(1,))
            read = dropout(read, deterministic=deterministic)
            outputs.append(read)
            finals.append(jax.lax.stop_gradient(final))
        queries = outputs
        if self.hidden_size != self.embedding_size:
            queries = [
                nn.Dense(self.embedding_size, dtype=read.dtype, name=f"projection_{name}")(read)
                for name, read in zip(("forward", "backward"), outputs, strict=False)
            ]
        h, c = (jnp.stack(states).astype(jnp.float32) for states in zip(*finals, strict=True))
        return jnp.stack(queries, axis=1), jnp.stack(outputs, axis=1), (h, c)

    def _reader(self) -> LSTM:
        return LSTM(
            self.hidden_size,
            num_layers=self.num_layers,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            recurrent_dropout_per_step=self.recurrent_dropout_per_step,
            implementation=self.implementation,
            dtype=self.dtype,
            parent=None,
        )

    def _init_recurrent(self, key: jax.Array) -> dict[str, Any]:
        params: dict[str, Any] = {}
        inputs = jnp.zeros((1, 1, self.embedding_size), jnp.float32)
        for direction, key_of in enumerate(jax.random.split(key, self.directions)):
            drawn = self._reader().init(key_of, inputs)["params"]
            params |= _cells(drawn, 0, direction, self.num_layers)
        return params


def _cells(recurrent: Any, direction: int, as_direction: int, layers: int) -> dict[str, Any]:
    """Returns the cells of one direction, renamed as those of another direction."""
    return {
        direction_name(layer, as_direction): recurrent[direction_name(layer, direction)]
        for layer in range(layers)
    }


def drop_recurrent_weights(recurrent: Any, rate: float, key: jax.Array) -> Any:
    """Applies DropConnect to the hidden-to-hidden kernels.

    One mask serves a whole batch: every step of every row multiplies by the same dropped kernels
    (Wan et al. 2013; Merity et al. 2018, section 2).

    >>> cell = {"hi": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    >>> dropped = drop_recurrent_weights({"layers_0_forward": cell}, 0.5, jax.random.key(0))
    >>> sorted(set(dropped["layers_0_forward"]["hi"]["kernel"].ravel().tolist()))
    [0.0, 2.0]

    Args:
        recurrent: cells by name; kernels `h*` have shape [H, H].
        rate: the probability of dropping a single weight, in [0, 1).
        key: random key for the mask.

    Returns:
        The cells, with kept weights scaled by 1 / (1 - rate); biases and input kernels unchanged.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(recurrent)
    dropped = []
    for index, (path, leaf) in enumerate(leaves):
        _, gate, kind = (part.key for part in path)
        if gate.startswith("h") and kind == "kernel":
            kept = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - rate, leaf.shape)
            leaf = jnp.where(kept, leaf / (1 - rate), 0)
        dropped.append(leaf)
    return jax.tree_util.tree_unflatten(treedef, dropped)


def softmax_weights(params: Any) -> tuple[jax.Array, jax.Array]:
    """Returns the softmax weights: the embedding f32[V, E] (weight tying) and a bias f32[V].

    >>> table, bias = jnp.zeros((100, 8)), jnp.zeros(100)
    >>> params = {"embedding": {"embedding": table}, "softmax_bias": bias}
    >>> [leaf.shape for leaf in softmax_weights(params)]
    [(100, 8), (100,)]
    """
    return params["embedding"]["embedding"], params["softmax_bias"]


def forward_model(model: LanguageModel, params: Any) -> tuple[LanguageModel, Any]:
    """Extracts the forward model from a bidirectional one; see `read_piece`.

    >>> both = LanguageModel(vocab_size=100, embedding_size=8, hidden_size=8, bidirectional=True)
    >>> token_ids, carry = jnp.ones((1, 2, 3), int), both.initial_carry(batch_size=1)
    >>> params = both.init(jax.random.key(0), token_ids, carry)["params"]
    >>> forward, params = forward_model(both, params)
    >>> forward.directions, list(params["recurrent"])
    (1, ['layers_0_forward'])
    """
    cells = _cells(params["recurrent"], 0, 0, model.num_layers)
    return model.clone(bidirectional=False), {**params, "recurrent": cells}


def read_piece(
    model: LanguageModel,
    params: Any,
    token_ids: jax.Array,
    carry: Carry,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Carry]:
    """Applies the model to one piece of running text.

    >>> model = LanguageModel(vocab_size=100, embedding_size=8, hidden_size=8)
    >>> first, second = jnp.array([[[4, 5, 6]]]), jnp.array([[[7, 8]]])
    >>> carry = model.initial_carry(batch_size=1)
    >>> params = model.init(jax.random.key(0), first, carry)["params"]
    >>> _, _, carry = read_piece(model, params, first, carry)
    >>> queries, _, carry = read_piece(model, params, second, carry)  # goes on after the first
    >>> queries.shape
    (1, 1, 2, 8)

    Args:
        model: the module.
        params: its parameters.
        token_ids: i32[B, D, T].
        carry: the states at the end of the previous piece, or `initial_carry`.
        dropout_key: for training; None turns dropout off. Equal keys draw equal masks.

    Returns:
        queries, outputs and carry, as `LanguageModel.__call__`.
    """
    result = model.apply(
        {"params": params},
        token_ids,
        carry,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(tuple[jax.Array, jax.Array, Carry], result)
