"""Evaluation of a whole split, each example exactly once."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from lstm_flax.config import DataConfig
from lstm_flax.data.batching import BatchPlan, make_batch
from lstm_flax.data.prefetching import prefetch
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.sharding import place_batch
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import Batch


class Evaluator:
    """Computes the logits of whole splits, batched by length, dropout off."""

    def __init__(
        self, model: TextClassifier, config: DataConfig, mesh: Mesh, ngrams: NgramRatios | None
    ) -> None:
        """Holds on to the model, the batches' settings, the devices and the n-gram ratios."""

        def logits(params: Any, batch: Batch) -> jax.Array:
            return apply_classifier(model, params, batch)

        self._logits = BucketedFunction(logits)
        self._config = config
        self._mesh = mesh
        self._ngrams = ngrams

    @property
    def compilations(self) -> int:
        """How many batch shapes were compiled."""
        return self._logits.compilations

    def logits(self, params: Any, split: TokenizedSplit, description: str = "") -> np.ndarray:
        """Logits of every example, in the split's own order.

        Args:
            params: the model's parameters, on the devices.
            split: encoded texts.
            description: shown beside a progress bar; empty for no bar.

        Returns:
            f32[N, C], or f32[N, 1] for a sigmoid head.
        """
        config = self._config
        plan = BatchPlan(
            split.lengths,
            batch_size=config.batch_size,
            bucket_widths=config.bucket_widths,
            max_length=config.max_length,
            seed=0,
            epoch=0,
            shuffle=False,
        )

        def placed() -> Any:
            for indices, width in plan:
                batch = make_batch(
                    split,
                    indices,
                    width,
                    config.batch_size,
                    config.max_length,
                    config.truncation,
                    self._ngrams,
                )
                yield indices, place_batch(batch, self._mesh)

        rows: list[tuple[np.ndarray, jax.Array]] = []
        bar = tqdm(
            desc=description, total=len(split), unit="texts", leave=False, disable=not description
        )
        with bar:
            for indices, batch in prefetch(placed()):
                rows.append((indices, self._logits(params, batch)))
                bar.update(len(indices))
        if sorted(np.concatenate([indices for indices, _ in rows])) != list(range(len(split))):
            raise AssertionError("the batch plan does not hold each example exactly once")
        result = np.empty((len(split), rows[0][1].shape[1]), np.float32)
        for indices, logits in rows:
            result[indices] = np.asarray(logits)[: len(indices)]
        return result
