"""Perplexity of a language model on a whole split, over the whole vocabulary."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm.auto import tqdm

from lstm_flax.data.prefetching import prefetch
from lstm_flax.data.streams import Streams, running_text
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.sharding import (
    place_batch,
    place_everywhere,
    replicated,
    results_everywhere,
)
from lstm_flax.models.language_model import Carry, LanguageModel, read_piece, softmax_weights
from lstm_flax.models.sampled_softmax import exact_cross_entropy
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import StreamBatch


class PerplexityEvaluator:
    """Reads a split's reviews one after another, as in training, with dropout off.

    Each direction predicts every token of every review, and the END of each, exactly once.

    Args:
        model: the language model.
        streams: B, rows per batch.
        bptt_length: T, tokens per row.
        mesh: the devices that share each batch; None for one.
    """

    def __init__(
        self, model: LanguageModel, streams: int, bptt_length: int, mesh: Mesh | None = None
    ) -> None:
        mesh = Mesh(np.asarray(jax.local_devices()[:1]), ("data",)) if mesh is None else mesh
        self._model = model
        self._rows = streams
        self._length = bptt_length
        self._mesh = mesh

        def read(tree: tuple[Any, Carry], batch: StreamBatch) -> tuple[jax.Array, Carry]:
            params, carry = tree
            queries, _, carry = read_piece(model, params, batch.token_ids, carry)
            losses = exact_cross_entropy(
                queries.reshape(-1, queries.shape[-1]),
                batch.targets.reshape(-1),
                *softmax_weights(params),
            )
            losses = jnp.where(batch.target_mask, losses.reshape(batch.targets.shape), 0)
            carry = jax.lax.with_sharding_constraint(carry, replicated(mesh))
            return jnp.sum(losses, axis=(0, 2)), carry

        self._read = BucketedFunction(read, results=results_everywhere(mesh))

    @property
    def compilations(self) -> int:
        """Counts the batch shapes compiled so far."""
        return self._read.compilations

    def evaluate(self, params: Any, split: TokenizedSplit, description: str = "") -> dict[str, Any]:
        """Scores a split.

        Args:
            params: the model's parameters, on the devices.
            split: encoded texts.
            description: shown beside a progress bar; empty for no bar.

        Returns:
            `tokens` (of the text, including one END per review), `loss` (mean cross-entropy per
            token in nats, over both directions if there are two), `perplexity` (its exponential),
            and `perplexities`, one per direction.
        """
        text = running_text([split], seed=None)
        streams = Streams(text, self._rows, self._length, self._model.directions, pad=True)
        carry = place_everywhere(self._model.initial_carry(self._rows), self._mesh)
        placed = (place_batch(streams[k], self._mesh) for k in range(len(streams)))
        sums = np.zeros(self._model.directions)
        bar = tqdm(desc=description, total=len(streams), leave=False, disable=not description)
        with bar, prefetch(placed) as batches:
            for batch in batches:
                losses, carry = self._read((params, carry), batch)
                sums += np.asarray(losses)
                bar.update()
        tokens = len(text) - 1
        loss = float(sums.sum()) / (tokens * len(sums))
        return {
            "tokens": tokens,
            "loss": loss,
            "perplexity": float(np.exp(loss)),
            "perplexities": [float(perplexity) for perplexity in np.exp(sums / tokens)],
        }
