"""Self-training: what earlier runs say of the unlabelled texts joins the training part.

The oldest way to learn from unlabelled text (Scudder 1965; with noise in the student, as dropout,
Xie et al. 2020): teachers label it, a student learns from their labels and from the true ones.
"""

import json
import logging
import zlib
from pathlib import Path

import numpy as np

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.dataset import Dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation.ensemble import mean_probabilities
from lstm_flax.files import make_folder, write_text
from lstm_flax.text.tokenized import TokenizedSplit

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
        teachers = [load_trained_model(Path(name)) for name in names if name]
        probabilities = mean_probabilities(
            teachers, dataset, unlabelled, "config.training.teachers", show_progress
        )
        labels = probabilities.argmax(axis=-1).astype(np.int32)
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
