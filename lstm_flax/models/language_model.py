"""The language model: embedding -> a recurrent stack for each direction -> tied softmax.

With two directions it is two language models, one that reads forward and one that reads each text
from its end, trained together: they share embedding and softmax and never see each other's states
(Peters et al. 2018, section 3.1). Embedding and recurrent parameters have the names, and with one
layer the shapes, of `TextClassifier`, which can start from them.
"""

import dataclasses
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.config import LanguageModelConfig, ModelConfig
from lstm_flax.models.classifier import TokenEmbedding, recurrent_attributes
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.layers import LSTM

# h and c of every direction: f32[D, L, B, H] each.
Carry = tuple[jax.Array, jax.Array]


class LanguageModel(nn.Module):
    """Predicts each token's successor from the tokens before it, in the order of reading.

    Attributes:
        config: sizes, dropout rates, dtype, implementation of the recurrence.
        settings: weight drop.
        vocab_size: V.
    """

    config: ModelConfig
    settings: LanguageModelConfig
    vocab_size: int

    @property
    def directions(self) -> int:
        """D: 1 for forward, 2 for forward and backward."""
        return 2 if self.config.bidirectional else 1

    def initial_carry(self, batch_size: int) -> Carry:
        """The state of a reader who has read nothing."""
        config = self.config
        shape = (self.directions, config.num_layers, batch_size, config.hidden_size)
        # Distinct arrays: a donated state must not hold one buffer twice.
        return jnp.zeros(shape), jnp.zeros(shape)

    @nn.compact
    def __call__(
        self, token_ids: jax.Array, carry: Carry, deterministic: bool = True
    ) -> tuple[jax.Array, jax.Array, Carry]:
        """Reads one piece of running text.

        Args:
            token_ids: i32[B, D, T], of the backward direction in its order of reading.
            carry: where the piece before ended, or `initial_carry`.
            deterministic: True turns every dropout off; False needs a `dropout` key.

        Returns:
            queries [B, D, T, E]: what the softmax compares with every token's embedding, see
            `softmax_weights`; outputs [B, D, T, H] of the top layer, dropped as `queries` are made
            of them; and the carry for the next piece, through which no gradient flows.
        """
        config = self.config
        rows, directions, steps = token_ids.shape
        embedding = TokenEmbedding(config, self.vocab_size, name="embedding")
        self.param("softmax_bias", nn.initializers.zeros_init(), (self.vocab_size,))
        lengths = jnp.full(rows * directions, steps, jnp.int32)
        embedded = embedding(token_ids.reshape(-1, steps), lengths, deterministic)
        embedded = embedded.reshape(rows, directions, steps, -1)
        recurrent = self.param("recurrent", self._init_recurrent)
        if self.settings.weight_drop > 0 and not deterministic:
            key = self.make_rng("dropout")
            recurrent = drop_recurrent_weights(recurrent, self.settings.weight_drop, key)
        outputs, finals = [], []
        for direction in range(directions):
            reader = self._reader()
            # A reader of its own direction: it takes that direction's cells as forward ones.
            params = _cells(recurrent, direction, 0, config.num_layers)
            state = (carry[0][direction], carry[1][direction])
            read, final = reader.apply(
                {"params": params},
                embedded[:, direction],
                initial_state=state,
                deterministic=deterministic,
                rngs=None if deterministic else {"dropout": self.make_rng("dropout")},
            )
            # One mask over all time steps of a row.
            dropout = nn.Dropout(config.head_dropout, broadcast_dims=(1,))
            read = dropout(read, deterministic=deterministic)
            outputs.append(read)
            finals.append(jax.lax.stop_gradient(final))
        queries = outputs
        if config.hidden_size != config.embedding_size:
            queries = [
                nn.Dense(config.embedding_size, dtype=read.dtype, name=f"projection_{name}")(read)
                for name, read in zip(("forward", "backward"), outputs, strict=False)
            ]
        h, c = (jnp.stack(states).astype(jnp.float32) for states in zip(*finals, strict=True))
        return jnp.stack(queries, axis=1), jnp.stack(outputs, axis=1), (h, c)

    def _reader(self) -> LSTM:
        return LSTM(parent=None, **recurrent_attributes(self.config))

    def _init_recurrent(self, key: jax.Array) -> dict[str, Any]:
        params: dict[str, Any] = {}
        inputs = jnp.zeros((1, 1, self.config.embedding_size))
        for direction, key_of in enumerate(jax.random.split(key, self.directions)):
            drawn = self._reader().init(key_of, inputs)["params"]
            params |= _cells(drawn, 0, direction, self.config.num_layers)
        return params


def _cells(recurrent: Any, direction: int, as_direction: int, layers: int) -> dict[str, Any]:
    """The cells of one direction under the names of another."""
    return {
        direction_name(layer, as_direction): recurrent[direction_name(layer, direction)]
        for layer in range(layers)
    }


def drop_recurrent_weights(recurrent: Any, rate: float, key: jax.Array) -> Any:
    """DropConnect on the hidden-to-hidden kernels (Wan et al. 2013; Merity et al. 2018, section 2).

    One mask for a whole batch: every step of every row multiplies by the same dropped kernels.

    Args:
        recurrent: cells by name, the kernels of `h*` of shape [H, H].
        rate: of the single weights, in [0, 1).
        key: of the mask.

    Returns:
        The cells, kept weights scaled by 1 / (1 - rate); biases and input kernels as they were.
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
    """What a query is compared with: the embedding f32[V, E], tied, and a bias f32[V] a token."""
    return params["embedding"]["embedding"], params["softmax_bias"]


def forward_model(model: LanguageModel, params: Any) -> tuple[LanguageModel, Any]:
    """The forward one of two language models trained together, by itself; see `read_piece`."""
    config = dataclasses.replace(model.config, bidirectional=False)
    cells = _cells(params["recurrent"], 0, 0, config.num_layers)
    alone = LanguageModel(config, model.settings, model.vocab_size)
    return alone, {**params, "recurrent": cells}


def read_piece(
    model: LanguageModel,
    params: Any,
    token_ids: jax.Array,
    carry: Carry,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Carry]:
    """`LanguageModel.__call__`; a key turns dropout on, and equal keys draw equal masks."""
    result = model.apply(
        {"params": params},
        token_ids,
        carry,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(tuple[jax.Array, jax.Array, Carry], result)
