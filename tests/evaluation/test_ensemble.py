"""Several classifiers as one: the mean of their calibrated probabilities."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.dataset import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation.ensemble import mean_probabilities
from lstm_flax.evaluation.evaluate import evaluate_ensemble, evaluate_trained_model


@pytest.fixture(scope="module")
def member(finished: tuple[Path, dict]) -> TrainedModel:
    return load_trained_model(finished[0])


def test_an_ensemble_of_one_scores_as_its_member(member: TrainedModel, tiny_config: Config) -> None:
    alone = evaluate_trained_model(member, tiny_config, "test", show_progress=False)
    found = evaluate_ensemble([member], tiny_config, "test", show_progress=False)
    assert found["confusion"] == alone["confusion"]
    np.testing.assert_allclose(found["loss"], alone["calibrated_loss"], rtol=1e-5)
    error = alone["calibrated_calibration_error"]
    np.testing.assert_allclose(found["calibration_error"], error, rtol=1e-5)


def test_members_count_alike_and_probabilities_are_what_is_averaged(
    member: TrainedModel, tiny_config: Config
) -> None:
    weak = jax.tree.map(lambda leaf: 0.3 * leaf, member.params)
    other = dataclasses.replace(member, params=weak)
    dataset = open_dataset(tiny_config)
    texts = dataset.split("test")
    one, two = (mean_probabilities([m], dataset, texts, "", False) for m in (member, other))
    assert np.abs(one - two).max() > 0.05
    found = evaluate_ensemble([member, other], tiny_config, "test", show_progress=False)
    of_label = ((one + two) / 2)[np.arange(len(texts)), texts.labels]
    np.testing.assert_allclose(found["loss"], -np.log(of_label).mean(), rtol=1e-5)


def test_a_language_model_is_no_member(
    member: TrainedModel, finished_lm: tuple[Path, dict], tiny_config: Config
) -> None:
    reader = load_trained_model(finished_lm[0])
    with pytest.raises(UserError, match=r"the ensemble: .*language model"):
        evaluate_ensemble([member, reader], tiny_config, "test", show_progress=False)
