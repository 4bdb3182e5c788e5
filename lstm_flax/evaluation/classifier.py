"""Logits and metrics of a classifier on whole splits, each example exactly once."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm.auto import tqdm

from lstm_flax.config import DataConfig
from lstm_flax.data.batching import Batcher, PlannedBatch
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.processes import several
from lstm_flax.devices.sharding import local_rows, place_batch, results_everywhere
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import classification_metrics, fit_temperature
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import Batch

# Batches computed at once. On a CPU, most of the work of one batch keeps only one core busy.
WORKERS = min(os.cpu_count() or 1, 8)
# Rows per batch for a few examples. On a CPU, a row costs as much there as in a batch of 64,
# and there are no filler rows and less padding.
FEW_ROWS = 8


class ClassifierEvaluator:
    """Applies a classifier to whole splits, batched by length, dropout off; threads may share it.

    Args:
        model: the classifier.
        encoder: computes its token features.
        data: batch size, buckets, truncation.
        mesh: the devices that share each batch; None for the default device.
    """

    def __init__(
        self,
        model: TextClassifier,
        encoder: TextEncoder,
        data: DataConfig,
        mesh: Mesh | None = None,
    ) -> None:
        def logits(params: Any, batch: Batch) -> jax.Array:
            return apply_classifier(model, params, batch)

        everywhere = None if mesh is None else results_everywhere(mesh)
        self._logits = BucketedFunction(logits, results=everywhere)
        self._encoder = encoder
        self._data = data
        self._mesh = mesh

    @property
    def compilations(self) -> int:
        """Counts the batch shapes compiled so far."""
        return self._logits.compilations

    def evaluate(
        self,
        params: Any,
        split: TokenizedSplit,
        temperature: float | None = None,
        description: str = "",
    ) -> dict[str, Any]:
        """Computes the metrics of a labelled split, see `classification_metrics`.

        Args:
            params: the model's parameters.
            split: N encoded texts.
            temperature: divides the logits for the calibrated metrics; None fits it here.
            description: shown beside a progress bar; empty for no bar.
        """
        logits = self.logits(params, split, description=description)
        if temperature is None:
            temperature = fit_temperature(logits, split.labels)
        return classification_metrics(logits, split.labels, temperature)

    def _rows(self, examples: int) -> int | None:
        """Returns the rows per batch; None for the training batch size."""
        if self._mesh is not None or examples > 8 * FEW_ROWS:
            return None
        return 1 if examples == 1 else min(FEW_ROWS, self._data.batch_size)

    def logits(
        self,
        params: Any,
        split: TokenizedSplit,
        pool: Executor | None = None,
        description: str = "",
    ) -> np.ndarray:
        """Computes the logits of every example, f32[N, C], in the split's own order.

        Batches are as large as in training, but have 1 row or `FEW_ROWS` for a few examples.

        Args:
            params: the model's parameters.
            split: N encoded texts, at least one.
            pool: threads to compute batches on; None creates a pool.
            description: shown beside a progress bar; empty for no bar.
        """
        batcher = Batcher.from_config(split, self._encoder, self._data, self._rows(len(split)))
        plan = batcher.evaluation_plan()

        mesh = self._mesh
        rows = None if mesh is None else local_rows(batcher.batch_size, mesh)

        def apply(planned: PlannedBatch) -> np.ndarray:
            batch = batcher.make(*planned, rows=rows)
            if mesh is not None:
                batch = place_batch(batch, mesh)
            return np.asarray(self._logits(params, batch))[: len(planned.indices)]

        if mesh is not None and several():  # all processes must compute batches in the same order
            return _scatter(plan, map, apply, len(split), description)
        if pool is None:
            with ThreadPoolExecutor(WORKERS) as own:
                return _scatter(plan, own.map, apply, len(split), description)
        return _scatter(plan, pool.map, apply, len(split), description)


def _scatter(
    plan: Any,
    map_: Callable[..., Any],
    apply: Callable[[PlannedBatch], np.ndarray],
    size: int,
    description: str,
) -> np.ndarray:
    """Puts the rows of all planned batches in the order of the examples."""
    result: np.ndarray | None = None
    counts = np.zeros(size, np.int64)
    bar = tqdm(desc=description, total=size, unit="texts", leave=False, disable=not description)
    with bar:
        for planned, rows in zip(plan, map_(apply, plan), strict=True):
            if result is None:
                result = np.empty((size, rows.shape[1]), rows.dtype)
            result[planned.indices] = rows
            counts[planned.indices] += 1
            bar.update(len(rows))
    if result is None or not (counts == 1).all():
        raise AssertionError("the batch plan does not hold each example exactly once")
    if not np.isfinite(result).all():
        raise UserError(
            "the weights give answers that are not finite, too large for their dtype; use another "
            "checkpoint"
        )
    return result
