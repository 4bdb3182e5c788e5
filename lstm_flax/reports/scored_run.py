"""A finished run with everything that its report shows: log, scores, answers for each text."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import DataConfig
from lstm_flax.data.audit import (
    SplitStatistics,
    count_shared_texts,
    describe_split,
    find_doubts,
    find_leaks,
)
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation.classifier import ClassifierEvaluator
from lstm_flax.evaluation.metrics import class_probabilities, classification_metrics
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.reports.curves import Curves, read_curves
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit, flatten
from lstm_flax.untrusted import read_json

_TRAINING_TEXTS = 5_000  # sampled to look for labels that the model contradicts


@dataclasses.dataclass(frozen=True)
class Answers:
    """A model's answers to some labelled texts.

    Attributes:
        texts: N raw texts.
        labels: i32[N].
        lengths: i64[N], in tokens.
        logits: f32[N, C].
        temperature: divides the logits for calibrated probabilities.
    """

    texts: list[str]
    labels: np.ndarray
    lengths: np.ndarray
    logits: np.ndarray
    temperature: float

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated probabilities, f32[N, C]."""
        return class_probabilities(self.logits / self.temperature)

    def surest_mistakes(self, count: int) -> list[int]:
        """Returns the wrongly answered texts whose own label is least probable."""
        probabilities = self.probabilities
        own = probabilities[np.arange(len(self.labels)), self.labels]
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != self.labels)
        return [int(i) for i in wrong[np.argsort(own[wrong], kind="stable")][:count]]


@dataclasses.dataclass(frozen=True)
class Audit:
    """The statistics and likely mistakes that `lstm-flax inspect` prints for the data.

    Attributes:
        statistics: by split.
        warnings: one sentence each.
    """

    statistics: dict[str, SplitStatistics]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """A run and its answers.

    Attributes:
        workdir: its folder.
        trained: the scored checkpoint.
        split: the name of the part that it is scored on.
        answers: answers on that part.
        training_answers: answers on a random sample of its own training texts.
        metrics: see `classification_metrics`.
        curves: learning curves from its log.
        results: contents of `results.json`; empty if there is none.
        audit: audit of the data.
    """

    workdir: Path
    trained: TrainedModel
    split: str
    answers: Answers
    training_answers: Answers
    metrics: dict[str, Any]
    curves: Curves
    results: dict[str, Any]
    audit: Audit


def score_run(workdir: Path, trained: TrainedModel, data: DataConfig, split: str) -> ScoredRun:
    """Runs a classifier again on its own data.

    Args:
        workdir: the run's folder.
        trained: the run's checkpoint.
        data: its configuration's data; only the location of the data may differ.
        split: the part to score: `test` or `development`.

    Raises:
        UserError: it is a language model, or its texts are not available.
    """
    if not isinstance(trained.model, TextClassifier):
        raise UserError(f"{workdir}: holds a language model; name a classifier's run")
    metadata = trained.metadata
    encoder = metadata.encoder
    dataset = open_dataset(data, metadata.config.tokenizer, encoder.tokenizer)
    if dataset.label_names != metadata.label_names:
        raise UserError(
            f"{workdir}: the data's labels are {', '.join(dataset.label_names)}, the model's "
            f"{', '.join(metadata.label_names)}; bring its own data back"
        )
    dataset.check_split(split)
    part = dataset.split(split)
    answers = _ask(trained, encoder, part, dataset.texts(split).texts)
    train = dataset.split("train")
    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:_TRAINING_TEXTS])
    texts = dataset.texts("train").texts
    own = _ask(
        trained,
        encoder.for_training(train, len(dataset.label_names)),
        _subset(train, chosen),
        [texts[i] for i in chosen],
    )
    metrics = classification_metrics(answers.logits, answers.labels, answers.temperature)
    return ScoredRun(
        workdir,
        trained,
        split,
        answers,
        own,
        metrics,
        read_curves(workdir / "log.jsonl"),
        _read_results(workdir / "results.json"),
        audit(dataset, data.max_length),
    )


def audit(dataset: Dataset, max_length: int) -> Audit:
    """Collects statistics and likely mistakes of the labelled splits."""
    names = [name for name in dataset.splits if name != "unsupervised"]
    examples = {name: dataset.texts(name) for name in names}
    texts = {name: part.texts for name, part in examples.items()}
    statistics = {
        name: describe_split(dataset.split(name), texts[name], dataset.label_names, max_length)
        for name in names
    }
    return Audit(statistics, find_doubts(examples) + find_leaks(count_shared_texts(texts)))


def _ask(trained: TrainedModel, encoder: TextEncoder, split: TokenizedSplit, texts: Any) -> Answers:
    assert isinstance(trained.model, TextClassifier)
    metadata = trained.metadata
    evaluator = ClassifierEvaluator(trained.model, encoder, metadata.config.data, trained.mesh)
    logits = evaluator.logits(trained.params, split, description="asking")
    temperature = metadata.history.temperature
    return Answers(list(texts), split.labels, split.lengths, logits, temperature)


def _subset(split: TokenizedSplit, indices: np.ndarray) -> TokenizedSplit:
    """Selects examples of a split; they keep their groups, needed to cross-fit n-gram ratios."""
    token_ids, offsets = flatten([split[int(i)] for i in indices], np.dtype(np.int32))
    return TokenizedSplit(token_ids, offsets, split.labels[indices], split.groups[indices])


def _read_results(path: Path) -> dict[str, Any]:
    """Reads the results of a finished run; empty if they are missing or damaged."""
    try:
        results = read_json(path)
    except (OSError, ValueError):
        return {}
    return results if isinstance(results, dict) else {}
