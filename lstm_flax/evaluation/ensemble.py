"""What several classifiers say together: the mean of their probabilities."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.data.dataset import Dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation.logits import Evaluator
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.head import class_probabilities
from lstm_flax.text.tokenized import TokenizedSplit


def mean_probabilities(
    members: Sequence[TrainedModel],
    dataset: Dataset,
    texts: TokenizedSplit,
    where: str,
    show_progress: bool = True,
) -> np.ndarray:
    """The mean of the members' calibrated probabilities of each text's labels, f32[N, C].

    Args:
        members: classifiers, at least one.
        dataset: whose labels and tokenizer they must share.
        texts: N of its texts, which no member was trained on.
        where: what named the members, for messages.
        show_progress: whether to draw a bar.

    Raises:
        UserError: a member is no classifier, knows other labels or has another tokenizer.
    """
    for member in members:
        _check_member(member, dataset, f"{where}: {member.path}")
    asked = [_probabilities(member, texts, show_progress) for member in members]
    return np.asarray(np.mean(asked, axis=0))


def _check_member(member: TrainedModel, dataset: Dataset, where: str) -> None:
    metadata = member.metadata
    if not isinstance(member.model, TextClassifier):
        raise UserError(f"{where}: holds a language model; name runs of a classifier")
    if metadata.label_names != dataset.label_names:
        raise UserError(
            f"{where}: knows the labels {', '.join(metadata.label_names)}, not "
            f"{', '.join(dataset.label_names)}; name runs on the same labels"
        )
    if metadata.tokenizer.fingerprint != dataset.tokenizer.fingerprint:
        raise UserError(
            f"{where}: has another tokenizer; train it on the same data with the same "
            "config.tokenizer and config.data"
        )


def _probabilities(member: TrainedModel, texts: TokenizedSplit, show_progress: bool) -> np.ndarray:
    assert isinstance(member.model, TextClassifier)
    metadata = member.metadata
    evaluator = Evaluator(member.model, metadata.config.data, member.mesh, metadata.ngrams)
    description = f"asking {member.path}" if show_progress else ""
    logits = evaluator.logits(member.params, texts, description)
    return np.asarray(class_probabilities(jnp.asarray(logits) / metadata.history.temperature))
