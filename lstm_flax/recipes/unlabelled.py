"""Unlabelled texts in every batch besides the labelled ones, for losses that need no label."""

import numpy as np

from lstm_flax.config.recipes import UnlabelledConfig
from lstm_flax.data.batching import Batcher, BatchPlan, shuffled_members
from lstm_flax.data.dataset import Dataset
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.recipe import Recipe
from lstm_flax.types import Batch


class Unlabelled(Recipe):
    """Adds rows of unlabelled text from the batch's own bucket to every batch."""

    def __init__(self, config: UnlabelledConfig) -> None:
        self.extra_rows = config.batch_size
        self._batcher: Batcher | None = None
        self._planned: tuple[BatchPlan, list[np.ndarray]] | None = None

    def open(self, dataset: Dataset, encoder: TextEncoder, batcher: Batcher) -> None:
        """Opens the unlabelled split; raises `UserError` if the source has none."""
        self._batcher = Batcher(
            dataset.split("unsupervised"),
            encoder,
            batch_size=self.extra_rows,
            bucket_widths=batcher.bucket_widths,
            max_length=batcher.max_length,
            truncation=batcher.truncation,
        )

    def extend_batch(self, batch: Batch, plan: BatchPlan, index: int) -> Batch:
        """Returns the batch with unlabelled rows appended."""
        assert self._batcher is not None
        if self._planned is None or self._planned[0] is not plan:
            self._planned = (plan, plan_unlabelled(plan, self._batcher))
        beside = self._batcher.make(self._planned[1][index], plan[index].width)
        return stack_batches(batch, beside)


def make_recipe(section: UnlabelledConfig) -> Unlabelled:
    """Makes the recipe of a configuration's section."""
    return Unlabelled(section)


def plan_unlabelled(plan: BatchPlan, batcher: Batcher) -> list[np.ndarray]:
    """Chooses unlabelled texts for each batch of an epoch.

    A batch gets texts from its own bucket, if there are any, in an order that depends only on the
    plan's seed and epoch; when a bucket's texts are used up, they repeat.

    Args:
        plan: the plan of the labelled texts.
        batcher: the batcher of the unlabelled texts; its batch size is the number of rows.

    Returns:
        For each batch, i64[n] indices, where n is the number of rows, or 0 if its bucket has no
        unlabelled text.
    """
    rows, widths = batcher.batch_size, list(batcher.bucket_widths)
    bucket_of = np.searchsorted(widths, np.minimum(batcher.split.lengths, batcher.max_length))
    generator = np.random.Philox(np.random.SeedSequence([plan.seed % 2**64, plan.epoch, 1]))
    members = shuffled_members(bucket_of, len(widths), generator)
    taken = [0] * len(widths)
    chosen = []
    for planned in plan:
        bucket = widths.index(planned.width)
        there = members[bucket]
        places = taken[bucket] + np.arange(rows if len(there) else 0)
        chosen.append(there[places % max(len(there), 1)])
        taken[bucket] += rows
    return chosen


def stack_batches(labelled: Batch, unlabelled: Batch) -> Batch:
    """Stacks the rows of two batches of equal width, dropping the second batch's labels."""
    hidden = unlabelled._replace(labels=np.full_like(unlabelled.labels, -1))
    return Batch(
        *(
            None if a is None else np.concatenate([a, b])
            for a, b in zip(labelled, hidden, strict=True)
        )
    )
