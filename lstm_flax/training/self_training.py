"""Self-training: what earlier runs say of the unlabelled texts joins the training part.

The oldest way to learn from unlabelled text (Scudder 1965; with noise in the student, as dropout,
Xie et al. 2020): teachers label it, a student learns from their labels and from the true ones.
"""

import json
import logging
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from lstm_flax.config import Config
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.token_cache import TokenizedSplit
from lstm_flax.errors import UserError
from lstm_flax.model.classifier import TextClassifier
from lstm_flax.training.evaluation import Evaluator
from lstm_flax.training.objectives import class_probabilities
from lstm_flax.training.progress import make_folder, write_text
from lstm_flax.training.trained_model import load_trained_model

LABELS_NAME = "teachers_labels.json"

logger = logging.getLogger(__name__)


def training_part(
    config: Config, dataset: Dataset, workdir: Path, show_progress: bool = True
) -> TokenizedSplit:
    """The texts to train on: the training part, and what `config.training.teachers` label.

    The labels are kept in the run's folder: a run that is continued needs no teacher any more.

    Args:
        config: the run.
        dataset: its texts, encoded.
        workdir: its folder.
        show_progress: whether to draw a bar.

    Raises:
        UserError: there are teachers but no unlabelled texts; a teacher cannot be read, knows
            other labels or has another tokenizer; the folder holds labels of other teachers or of
            other texts.
    """
    train = dataset.split("train")
    if config.training.teachers is None:
        return train
    unlabelled = dataset.split("unsupervised")
    labels = _stored_labels(workdir / LABELS_NAME, config.training.teachers, unlabelled)
    if labels is None:
        names = [name.strip() for name in config.training.teachers.split(",")]
        probabilities = [
            _ask(Path(name), dataset, unlabelled, show_progress) for name in names if name
        ]
        labels = np.mean(probabilities, axis=0).argmax(axis=-1).astype(np.int32)
        make_folder(workdir)
        stored = {"teachers": config.training.teachers, "texts": _checksum(unlabelled)}
        write_text(workdir / LABELS_NAME, json.dumps(stored | {"labels": labels.tolist()}))
    counts = np.bincount(labels, minlength=len(dataset.label_names))
    found = ", ".join(f"{n} {c:,}" for n, c in zip(dataset.label_names, counts, strict=True))
    logger.info("the teachers' labels of %s unlabelled texts: %s", f"{len(labels):,}", found)
    taught = TokenizedSplit(unlabelled.token_ids, unlabelled.offsets, labels, unlabelled.groups)
    return TokenizedSplit.concatenate([train, taught])


def _stored_labels(path: Path, teachers: str, texts: TokenizedSplit) -> np.ndarray | None:
    """The labels that an earlier start of this run was given, i32[N]; None where there are none."""
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        same = stored["teachers"] == teachers and stored["texts"] == _checksum(texts)
        labels = np.array(stored["labels"], np.int32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read; choose another --workdir") from error
    if not same:
        raise UserError(
            f"{path}: holds the labels of other teachers ({stored['teachers']}) or of other texts; "
            "choose another --workdir"
        )
    return labels


def _checksum(texts: TokenizedSplit) -> int:
    return zlib.crc32(texts.offsets.data, zlib.crc32(texts.token_ids.data))


def _ask(path: Path, dataset: Dataset, texts: TokenizedSplit, show_progress: bool) -> np.ndarray:
    """A teacher's probabilities of the texts' labels, f32[N, C]."""
    teacher = load_trained_model(path)
    metadata = teacher.metadata
    where = f"config.training.teachers: {path}"
    if not isinstance(teacher.model, TextClassifier):
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
    evaluator = Evaluator(teacher.model, metadata.config.data, teacher.mesh, metadata.ngrams)
    description = f"asking {path}" if show_progress else ""
    logits = evaluator.logits(teacher.params, texts, description)
    return np.asarray(class_probabilities(jnp.asarray(logits) / metadata.history.temperature))
