"""Several classifiers as one: the mean of their calibrated probabilities."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation.classifier import ClassifierEvaluator
from lstm_flax.evaluation.evaluate import evaluate_ensemble, evaluate_split
from lstm_flax.evaluation.metrics import class_probabilities
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer


def probabilities(member: TrainedModel, texts: TokenizedSplit) -> np.ndarray:
    metadata = member.metadata
    evaluator = ClassifierEvaluator(member.model, metadata.encoder, metadata.config.data)
    logits = evaluator.logits(member.params, texts)
    return class_probabilities(logits / metadata.history.temperature)


@pytest.fixture(scope="module")
def member(finished: tuple[Path, dict]) -> TrainedModel:
    return load_trained_model(finished[0])


def test_an_ensemble_of_one_scores_as_its_member(member: TrainedModel, tiny_config: Config) -> None:
    alone = evaluate_split(member, tiny_config.data, "test", show_progress=False)
    found = evaluate_ensemble([member], tiny_config.data, "test", show_progress=False)
    assert found["confusion"] == alone["confusion"]
    np.testing.assert_allclose(found["loss"], alone["calibrated_loss"], rtol=1e-5)
    error = alone["calibrated_calibration_error"]
    np.testing.assert_allclose(found["calibration_error"], error, rtol=1e-5)


def test_members_count_alike_and_probabilities_are_what_is_averaged(
    member: TrainedModel, tiny_config: Config
) -> None:
    weak = jax.tree.map(lambda leaf: 0.3 * leaf, member.params)
    other = dataclasses.replace(member, params=weak)
    texts = open_dataset(tiny_config.data, tiny_config.tokenizer).split("test")
    one, two = (probabilities(m, texts) for m in (member, other))
    assert np.abs(one - two).max() > 0.05
    found = evaluate_ensemble([member, other], tiny_config.data, "test", show_progress=False)
    of_label = ((one + two) / 2)[np.arange(len(texts)), texts.labels]
    np.testing.assert_allclose(found["loss"], -np.log(of_label).mean(), rtol=1e-5)


def test_a_language_model_is_no_member(
    member: TrainedModel, finished_lm: tuple[Path, dict], tiny_config: Config
) -> None:
    reader = load_trained_model(finished_lm[0])
    with pytest.raises(UserError, match=r"lm.*language model"):
        evaluate_ensemble([member, reader], tiny_config.data, "test", show_progress=False)


@pytest.mark.parametrize("field", ["label_names", "tokenizer"])
def test_a_member_of_other_labels_or_another_tokenizer_is_refused(
    member: TrainedModel, tiny_config: Config, field: str
) -> None:
    small = dataclasses.replace(tiny_config.tokenizer, vocab_size=8)
    changes = {
        "label_names": {"label_names": ("bad", "good")},
        "tokenizer": {"encoder": TextEncoder(Tokenizer.train(["another text"], small))},
    }
    metadata = dataclasses.replace(member.metadata, **changes[field])
    other = dataclasses.replace(member, metadata=metadata)
    with pytest.raises(UserError, match="tokenizer" if field == "tokenizer" else "bad, good"):
        evaluate_ensemble([member, other], tiny_config.data, "test", show_progress=False)
