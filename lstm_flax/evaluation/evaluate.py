"""Scoring a trained model on a split of a data set."""

import importlib.metadata
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import Config
from lstm_flax.data.dataset import Dataset, open_dataset
from lstm_flax.data.sources.files import read_labelled
from lstm_flax.data.sources.imdb_films import film_table
from lstm_flax.errors import UserError
from lstm_flax.evaluation.ensemble import mean_probabilities
from lstm_flax.evaluation.logits import Evaluator
from lstm_flax.evaluation.metrics import classification_metrics
from lstm_flax.evaluation.perplexity import PerplexityEvaluator
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.warm_start import ngram_ratios
from lstm_flax.version import __version__

logger = logging.getLogger(__name__)


def evaluate_trained_model(
    trained: TrainedModel, config: Config, split: str, show_progress: bool
) -> dict[str, Any]:
    """Scores a model on one split of a data set.

    Args:
        trained: the model.
        config: its configuration; only where the data lies may differ from the checkpoint's.
        split: `train`, `development` or `test`.
        show_progress: whether to draw a bar.

    Returns:
        The figures that are printed and kept in the run's folder, see `README.md`.

    Raises:
        UserError: where the data cannot be had, or has other labels than the model.
    """
    start = time.perf_counter()
    dataset = open_dataset(config, tokenizer=trained.metadata.tokenizer)
    names = trained.metadata.label_names
    if dataset.label_names != names:
        raise UserError(
            f"the data's labels are {', '.join(dataset.label_names)}, the model's "
            f"{', '.join(names)}; evaluate on the data it was trained for"
        )
    examples = dataset.split(split)
    description = f"evaluating {split}" if show_progress else ""
    if isinstance(trained.model, LanguageModel):
        evaluator = PerplexityEvaluator(trained.model, config, trained.mesh)
        figures = evaluator.figures(trained.params, examples, description)
        compilations = evaluator.compilations
    else:
        ngrams = trained.metadata.ngrams
        if split == "train":  # its own texts must not tell their labels
            _, ngrams = ngram_ratios(config, dataset, trained)
        logits, compilations = _classify(trained, examples, ngrams, description)
        temperature = trained.metadata.history.temperature
        figures = classification_metrics(logits, examples.labels, temperature)
        figures |= _without_shared_texts(config, split, logits, examples)
        _warn_of_training_texts(config, dataset, split, examples)
    return {"split": split, **figures, **_describe(trained, compilations, start)}


def evaluate_file(
    trained: TrainedModel,
    path: Path,
    text_column: str | None,
    label_column: str | None,
    show_progress: bool,
) -> dict[str, Any]:
    """Scores a classifier on labelled texts of a file; no other data of its is needed.

    Args:
        trained: the model.
        path: see `read_rows`.
        text_column: name of the text's column or field; None for that of the model's own data.
        label_column: likewise of the label: one of the model's label names.
        show_progress: whether to draw a bar.

    Returns:
        As `evaluate_trained_model`, with `file` in the place of `split`.

    Raises:
        UserError: naming file and lines of what cannot be read, or of labels unknown to the model.
    """
    start = time.perf_counter()
    metadata = trained.metadata
    if isinstance(trained.model, LanguageModel):
        raise UserError(
            f"{trained.path}: holds a language model, which knows no labels; name a "
            "classifier's run"
        )
    columns = (
        text_column or metadata.config.data.text_column,
        label_column or metadata.config.data.label_column,
    )
    flags = ("--text_column", "--label_column")
    texts, labels = read_labelled(path, *columns, flags, metadata.label_names)
    examples = TokenizedSplit.from_sequences(metadata.tokenizer.encode_batch(texts), labels)
    description = f"evaluating {path.name}" if show_progress else ""
    logits, compilations = _classify(trained, examples, metadata.ngrams, description)
    figures = classification_metrics(logits, labels, metadata.history.temperature)
    return {"file": str(path), **figures, **_describe(trained, compilations, start)}


def _classify(
    trained: TrainedModel, examples: TokenizedSplit, ngrams: NgramRatios | None, description: str
) -> tuple[np.ndarray, int]:
    """The logits of N examples, f32[N, C], and how many batch shapes were compiled."""
    assert isinstance(trained.model, TextClassifier)
    evaluator = Evaluator(trained.model, trained.metadata.config.data, trained.mesh, ngrams)
    return evaluator.logits(trained.params, examples, description), evaluator.compilations


def _describe(trained: TrainedModel, compilations: int, start: float) -> dict[str, Any]:
    """What was scored, on what, and how long it took."""
    return {
        "checkpoint_step": trained.step,
        "compilations": compilations,
        "seed": trained.metadata.config.training.seed,
        "label_names": list(trained.metadata.label_names),
        "seconds": round(time.perf_counter() - start, 3),
        **describe_environment(),
    }


def evaluate_ensemble(
    members: Sequence[TrainedModel], config: Config, split: str, show_progress: bool
) -> dict[str, Any]:
    """Scores the mean of several classifiers' calibrated probabilities on one split of a data set.

    Args:
        members: at least one, of the same labels and tokenizer.
        config: of the first; only where the data lies may differ.
        split: `development` or `test`: what none of them was trained on.
        show_progress: whether to draw bars.

    Returns:
        The figures of `classification_metrics`, and what `evaluate_trained_model` adds on IMDB.

    Raises:
        UserError: where the data cannot be had, or a member knows other labels or has another
            tokenizer.
    """
    dataset = open_dataset(config, tokenizer=members[0].metadata.tokenizer)
    examples = dataset.split(split)
    probabilities = mean_probabilities(members, dataset, examples, "the ensemble", show_progress)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    figures = classification_metrics(logits, examples.labels)
    figures |= _without_shared_texts(config, split, logits, examples)
    return {"split": split, **figures, "members": [str(member.path) for member in members]}


def _warn_of_training_texts(
    config: Config, dataset: Dataset, split: str, examples: TokenizedSplit
) -> None:
    """Says how many texts of a file of the user's own are training texts too.

    Parts that are cut off the training file share none with it.
    """
    paths = {"development": config.data.development_path, "test": config.data.test_path}
    if paths.get(split) is None:
        return
    known = {ids.tobytes() for ids in dataset.split("train")}
    shared = sum(ids.tobytes() in known for ids in examples)
    if shared:
        logger.warning(
            "%s: %s of its %s texts are training texts too: the score flatters",
            paths[split],
            f"{shared:,}",
            f"{len(examples):,}",
        )


def _without_shared_texts(
    config: Config, split: str, logits: np.ndarray, examples: TokenizedSplit
) -> dict[str, Any]:
    """The figures of IMDB's test split without the texts that its training split holds too."""
    if config.data.source != "imdb_reviews" or split != "test":
        return {}
    new = ~np.isin(examples.groups, film_table().test_in_train)
    figures = classification_metrics(logits[new], examples.labels[new])
    return {f"{name}_without_train_texts": figures[name] for name in ("examples", "accuracy")}


def default_split(config: Config) -> str:
    """What to score where nobody said: no test text for a language model."""
    return "development" if config.task == "language_model" else "test"


def describe_environment() -> dict[str, Any]:
    """The device and the versions a figure was measured with."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "sentencepiece")
    return {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"lstm-flax": __version__}
        | {name: importlib.metadata.version(name) for name in packages},
    }
