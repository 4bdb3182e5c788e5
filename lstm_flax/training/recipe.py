"""Hooks for training recipes in a classifier's run."""

from collections.abc import Callable, Sequence

import optax

from lstm_flax.data.batching import Batcher, BatchPlan
from lstm_flax.data.dataset import Dataset
from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.losses import ClassificationLoss
from lstm_flax.training.train_step import GradientFn
from lstm_flax.types import Batch


class Recipe:
    """A recipe that changes nothing; subclasses override the hooks they need.

    Attributes:
        extra_rows: number of rows that `extend_batch` adds to every batch.
    """

    extra_rows: int = 0

    def open(self, dataset: Dataset, encoder: TextEncoder, batcher: Batcher) -> None:
        """Called once before the first step, when the data is open and the encoder fitted.

        Args:
            dataset: the run's texts.
            encoder: fitted to them.
            batcher: batcher of the training part.
        """

    def gradient(self) -> Callable[[ClassificationLoss], GradientFn] | None:
        """Returns the step's gradient function, see `make_train_step`; None for the plain one."""
        return None

    def optimizer(
        self, optimizer: optax.GradientTransformation, updates_per_epoch: int
    ) -> optax.GradientTransformation:
        """Wraps or replaces the configured optimizer.

        The result sits inside clipping and gradient accumulation.
        """
        return optimizer

    def extend_batch(self, batch: Batch, plan: BatchPlan, index: int) -> Batch:
        """Returns the batch to train on.

        Args:
            batch: B rows, numpy arrays.
            plan: the epoch's plan, with its `seed` and `epoch`.
            index: the batch's position in the plan.

        Returns:
            B + `extra_rows` rows; label -1 marks an unlabelled text.
        """
        return batch


def gradient_of(recipes: Sequence[Recipe]) -> Callable[[ClassificationLoss], GradientFn] | None:
    """Returns the recipes' only gradient function; None if all use the plain one.

    Raises:
        UserError: two recipes replace it.
    """
    own = [gradient for recipe in recipes if (gradient := recipe.gradient()) is not None]
    if len(own) > 1:
        raise UserError("config.recipes: two sections replace the gradient; leave one of them out")
    return own[0] if own else None
