"""Scores trained models on a split or a file, singly or as an ensemble."""

import importlib.metadata
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import DataConfig, LanguageModelConfig
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import open_dataset
from lstm_flax.data.sources.files import read_labelled
from lstm_flax.data.sources.imdb_films import film_table
from lstm_flax.data.sources.rows import columns_like
from lstm_flax.data.tables.columns import FoundColumns
from lstm_flax.devices.processes import first_then_others
from lstm_flax.display import escaped
from lstm_flax.errors import UserError
from lstm_flax.evaluation.classifier import ClassifierEvaluator
from lstm_flax.evaluation.metrics import class_probabilities, classification_metrics
from lstm_flax.evaluation.perplexity import PerplexityEvaluator
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.version import __version__

logger = logging.getLogger(__name__)


def evaluate(
    model: TextClassifier | LanguageModel,
    params: Any,
    split: TokenizedSplit,
    encoder: TextEncoder,
    data: DataConfig | None = None,
    language_model: LanguageModelConfig | None = None,
    temperature: float | None = 1.0,
    description: str = "",
) -> dict[str, Any]:
    """Scores a model on a whole split: a classifier by accuracy and more, others by perplexity.

    >>> from lstm_flax.models import init_params
    >>> encoder = TextEncoder.fit(["fine film", "dull film", "fine, fine", "dull"], [1, 0, 1, 0])
    >>> model = TextClassifier(encoder.vocab_size, num_classes=2, embedding_size=4, hidden_size=4)
    >>> params = init_params(model, jax.random.key(0))
    >>> split = encoder.encode_split(["fine", "dull", "film"], [1, 0, 1])
    >>> evaluate(model, params, split, encoder)["examples"]
    3

    Args:
        model: the module.
        params: its parameters.
        split: encoded texts; labelled for a classifier.
        encoder: the encoder that encoded them.
        data: batch size, buckets, truncation; None for the defaults.
        language_model: piece length of a language model; None for the defaults.
        temperature: divides a classifier's logits for the calibrated metrics; None fits it.
        description: shown beside a progress bar; empty for no bar.

    Returns:
        See `classification_metrics` and `PerplexityEvaluator.evaluate`.
    """
    evaluator = make_evaluator(model, encoder, data or DataConfig(), language_model)
    if isinstance(evaluator, PerplexityEvaluator):
        return evaluator.evaluate(params, split, description)
    return evaluator.evaluate(params, split, temperature, description)


def make_evaluator(
    model: TextClassifier | LanguageModel,
    encoder: TextEncoder,
    data: DataConfig,
    language_model: LanguageModelConfig | None = None,
    mesh: Mesh | None = None,
) -> ClassifierEvaluator | PerplexityEvaluator:
    """Makes a model's evaluator, for use with several splits or parameters; see `evaluate`."""
    if isinstance(model, LanguageModel):
        pieces = language_model or LanguageModelConfig()
        return PerplexityEvaluator(model, data.batch_size, pieces.bptt_length, mesh)
    return ClassifierEvaluator(model, encoder, data, mesh)


def evaluate_split(
    trained: TrainedModel, data: DataConfig, name: str, show_progress: bool
) -> dict[str, Any]:
    """Scores a restored model on one split of a data set.

    Args:
        trained: the model.
        data: its configuration's data; only the location of the data may differ.
        name: `train`, `development` or `test`.
        show_progress: True to draw a bar.

    Returns:
        The results as printed and saved in the run's folder, see docs/command_line.md.

    Raises:
        UserError: the data is not available, or has other labels than the model.
    """
    start = time.perf_counter()
    metadata, config = trained.metadata, trained.metadata.config
    encoder, names = metadata.encoder, metadata.label_names
    dataset = first_then_others(lambda: open_dataset(data, config.tokenizer, encoder.tokenizer))
    if dataset.label_names != names:
        raise UserError(
            f"the data's labels are {', '.join(dataset.label_names)}, the model's "
            f"{', '.join(names)}; evaluate on the data it was trained on"
        )
    split = first_then_others(lambda: dataset.split(name))
    description = f"evaluating {name}" if show_progress else ""
    if name == "train":  # texts that were counted must not reveal their labels
        encoder = encoder.for_training(split, len(names))
    evaluator = make_evaluator(trained.model, encoder, data, config.language_model, trained.mesh)
    if isinstance(evaluator, PerplexityEvaluator):
        metrics = evaluator.evaluate(trained.params, split, description)
    else:
        logits = evaluator.logits(trained.params, split, description=description)
        metrics = _score(logits, split, data.source, name, metadata.history.temperature)
        _warn_of_training_texts(data, dataset, name, split)
    return {"split": name, **metrics, **_describe(trained, evaluator.compilations, start)}


def evaluate_file(
    trained: TrainedModel,
    path: Path,
    text_column: str | None,
    label_column: str | None,
    show_progress: bool,
) -> dict[str, Any]:
    """Scores a classifier on the labelled texts of a file; none of its own data is needed.

    Args:
        trained: the model.
        path: see `read_rows`.
        text_column: name of the text's column or field; None finds it: the name in the model's own
            data, or else by `find_columns`.
        label_column: likewise for the label, which must be one of the model's label names.
        show_progress: True to draw a bar.

    Returns:
        As `evaluate_split`, with `file` instead of `split`.

    Raises:
        UserError: rows cannot be read, or have labels unknown to the model; the message names the
            file and the lines.
    """
    start = time.perf_counter()
    metadata = trained.metadata
    if isinstance(trained.model, LanguageModel):
        raise UserError(
            f"{trained.path}: holds a language model, which knows no labels; name a "
            "classifier's run"
        )
    data = metadata.config.data
    flags = ("--text_column", "--label_column")
    usual = FoundColumns(data.text_column, data.label_column)
    columns = columns_like(path, usual, (text_column, label_column), flags)
    known = (metadata.label_names, "not known to the model, which has")
    examples = read_labelled(path, *columns, *known, flags)
    split = metadata.encoder.encode_split(examples.texts, examples.labels)
    evaluator = ClassifierEvaluator(trained.model, metadata.encoder, data, trained.mesh)
    description = f"evaluating {escaped(path.name)}" if show_progress else ""
    temperature = metadata.history.temperature
    metrics = evaluator.evaluate(trained.params, split, temperature, description)
    return {"file": str(path), **metrics, **_describe(trained, evaluator.compilations, start)}


def evaluate_ensemble(
    members: Sequence[TrainedModel], data: DataConfig, name: str, show_progress: bool
) -> dict[str, Any]:
    """Scores the mean of several classifiers' calibrated probabilities on one split of a data set.

    Args:
        members: at least one, with the same labels and tokenizer.
        data: the data of the first; only the location of the data may differ.
        name: `development` or `test`: a split that none of them was trained on.
        show_progress: True to draw bars.

    Returns:
        The metrics of `evaluate_split`, and the members.

    Raises:
        UserError: the data is not available, or a member is not a classifier or has other labels or
            another tokenizer.
    """
    first = members[0].metadata
    dataset = open_dataset(data, first.config.tokenizer, first.encoder.tokenizer)
    split = dataset.split(name)
    probabilities = []
    for member in members:
        metadata = member.metadata
        if isinstance(member.model, LanguageModel):
            raise UserError(f"{member.path}: holds a language model; name runs of a classifier")
        if metadata.label_names != dataset.label_names:
            raise UserError(
                f"{member.path}: has the labels {', '.join(metadata.label_names)}, not "
                f"{', '.join(dataset.label_names)}; name runs on the same labels"
            )
        if metadata.encoder.tokenizer.fingerprint != first.encoder.tokenizer.fingerprint:
            raise UserError(
                f"{member.path}: has another tokenizer; train it on the same data with the same "
                "config.tokenizer and config.data"
            )
        evaluator = ClassifierEvaluator(
            member.model, metadata.encoder, metadata.config.data, member.mesh
        )
        description = f"asking {escaped(str(member.path))}" if show_progress else ""
        logits = evaluator.logits(member.params, split, description=description)
        probabilities.append(class_probabilities(logits / metadata.history.temperature))
    logits = np.log(np.maximum(np.mean(probabilities, axis=0), np.finfo(np.float32).tiny))
    metrics = _score(logits, split, data.source, name)
    return {"split": name, **metrics, "members": [str(member.path) for member in members]}


def _score(
    logits: np.ndarray,
    split: TokenizedSplit,
    source: str,
    name: str,
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Computes a split's metrics; for IMDB's test, also those without texts shared with train."""
    metrics = classification_metrics(logits, split.labels, temperature)
    if source == "imdb_reviews" and name == "test":
        new = ~np.isin(split.groups, film_table().test_in_train)
        of_new = classification_metrics(logits[new], split.labels[new])
        metrics |= {f"{key}_without_train_texts": of_new[key] for key in ("examples", "accuracy")}
    return metrics


def _describe(trained: TrainedModel, compilations: int, start: float) -> dict[str, Any]:
    """Describes the scored checkpoint, its seed, and the time it took."""
    return {
        "checkpoint_step": trained.step,
        "compilations": compilations,
        "seed": trained.metadata.config.training.seed,
        "label_names": list(trained.metadata.label_names),
        "seconds": round(time.perf_counter() - start, 3),
        **describe_environment(),
    }


def _warn_of_training_texts(
    data: DataConfig, dataset: Dataset, name: str, split: TokenizedSplit
) -> None:
    """Warns how many texts of a user's file are training texts too.

    Parts cut off the training file share none with it.
    """
    paths = {"development": data.development_path, "test": data.test_path}
    if paths.get(name) is None:
        return
    known = {ids.tobytes() for ids in dataset.split("train")}
    shared = sum(ids.tobytes() in known for ids in split)
    if shared:
        logger.warning(
            "%s: %s of its %s texts are training texts too: its score is inflated",
            paths[name],
            f"{shared:,}",
            f"{len(split):,}",
        )


def default_split(task: str) -> str:
    """Returns the split to score by default: no test text for a language model."""
    return "development" if task == "language_model" else "test"


def describe_environment() -> dict[str, Any]:
    """Describes the device and package versions of a measurement."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "sentencepiece")
    return {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"lstm-flax": __version__}
        | {name: importlib.metadata.version(name) for name in packages},
    }
