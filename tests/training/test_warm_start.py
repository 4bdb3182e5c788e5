"""What a run starts from: n-gram ratios and word vectors, kept through kills and in checkpoints."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.evaluation import evaluate as evaluate_module
from lstm_flax.evaluation.classifier import ClassifierEvaluator
from lstm_flax.evaluation.evaluate import evaluate_split
from lstm_flax.inference.predictor import Predictor
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams.weights import NgramWeights
from lstm_flax.text.ppmi_svd import DEVIATION
from lstm_flax.text.tokenizer import UNKNOWN_ID
from lstm_flax.training.fine_tune import fine_tune
from lstm_flax.training.run.loop import Run
from lstm_flax.training.train import train
from lstm_flax.training.warm_start import first_params, fit_encoder, kept_params
from lstm_flax.types import PAD_ID
from tests.cli.run_files import figures, leaves
from tests.conftest import templated_texts
from tests.training.step_cases import changed

TEXTS = [record["text"] for record in templated_texts(30, seed=8)]


def fitted(
    config: Config, initial: TrainedModel | None = None
) -> tuple[NgramWeights, NgramWeights]:
    """The ratios of a run for other texts, and those for its training texts."""
    dataset = open_dataset(config.data, config.tokenizer)
    train, names = dataset.split("train"), dataset.label_names
    encoder = fit_encoder(dataset.tokenizer, train, names, config.model, initial)
    return encoder.ngrams, encoder.for_training(train, len(names)).ngrams


def with_ratios(trained: TrainedModel, label_names: Any = None, **changes: Any) -> TrainedModel:
    """The model with other ratios, and perhaps other labels."""
    encoder = trained.metadata.encoder
    ratios = dataclasses.replace(encoder.ngrams, **changes)
    metadata = dataclasses.replace(
        trained.metadata,
        encoder=TextEncoder(encoder.tokenizer, ratios),
        label_names=label_names or trained.metadata.label_names,
    )
    return dataclasses.replace(trained, metadata=metadata)


@pytest.fixture(scope="module")
def config(ngram_config: Config) -> Config:
    """Two epochs with n-gram features and an embedding from co-occurrence."""
    fields = {"embedding_init": "cooccurrence"}
    return changed(ngram_config, model=fields, training={"epochs": 2})


@pytest.fixture(scope="module")
def finished(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("initial") / "finished"
    assert train(config, workdir, show_progress=False)["accuracy"] > 0.9
    return workdir


def test_killed_and_continued_equals_uninterrupted(
    config: Config, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 6:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(config, tmp_path, show_progress=False)
    train(config, tmp_path, show_progress=False)
    for a, b in zip(leaves(finished), leaves(tmp_path), strict=True):
        np.testing.assert_array_equal(a, b)
    assert figures(finished) == figures(tmp_path)


def test_a_checkpoint_holds_the_ratios_it_was_trained_with(config: Config, finished: Path) -> None:
    whole, crossed = fitted(config)
    kept = load_trained_model(finished).metadata.encoder.ngrams
    assert len(crossed.tables) > 1 == len(whole.tables)
    assert kept.order == 2
    for name in ("keys", "tables", "groups"):
        found, expected = getattr(kept, name), getattr(whole, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_the_embedding_starts_from_vectors_of_the_training_text(config: Config) -> None:
    dataset = open_dataset(config.data, config.tokenizer)
    vectors = first_params(config, dataset, None)["embedding"]["embedding"]
    assert vectors.shape == (config.tokenizer.vocab_size, 8)
    assert vectors[vectors.any(axis=1)].std() == pytest.approx(DEVIATION, rel=1e-5)


def test_the_features_reach_the_answer(finished: Path) -> None:
    trained = load_trained_model(finished)
    silent = np.zeros_like(trained.metadata.encoder.ngrams.tables)
    with_them = Predictor(trained).predict(TEXTS)
    without = Predictor(with_ratios(trained, tables=silent)).predict(TEXTS)
    assert any(a.probabilities != b.probabilities for a, b in zip(with_them, without, strict=True))


@pytest.mark.slow
def test_a_run_on_other_texts_keeps_the_ratios_of_the_one_it_starts_from(
    config: Config, finished: Path, tmp_path: Path, caplog: Any
) -> None:
    records = templated_texts(40, seed=9)
    texts, labels = [r["text"] for r in records], [r["label"] for r in records]
    with caplog.at_level(logging.INFO):
        start = Predictor.from_checkpoint(finished)
        tuned = Predictor(fine_tune(start, texts, labels, tmp_path, epochs=1))
    assert "started afresh" not in caplog.text
    before, after = load_trained_model(finished), load_trained_model(tmp_path)
    np.testing.assert_array_equal(
        before.metadata.encoder.ngrams.tables, after.metadata.encoder.ngrams.tables
    )
    assert len(tuned.predict(TEXTS)) == len(TEXTS)
    three = [*labels[:-6], *["mixed"] * 6]
    other = Predictor(fine_tune(start, texts, three, tmp_path / "3", epochs=1))
    assert set(other.predict(TEXTS[:1])[0].probabilities) == {"mixed", "neg", "pos"}


def test_texts_that_were_counted_before_are_cross_fitted(config: Config, finished: Path) -> None:
    """Also what a run that goes on from a language model finds when it is continued."""
    trained = load_trained_model(finished)
    there = trained.metadata.encoder.ngrams
    whole, crossed = fitted(config, trained)
    assert len(whole.tables) == 1 < len(crossed.tables)
    np.testing.assert_array_equal(whole.tables, there.tables)
    overlapping = with_ratios(trained, groups=there.groups[:1])
    assert len(fitted(config, overlapping)[1].tables) > 1
    for kept in fitted(config, with_ratios(trained, groups=there.groups[:0])):
        assert kept.tables is there.tables


def test_other_labels_or_ngrams_are_counted_afresh(config: Config, finished: Path) -> None:
    trained, nothing = load_trained_model(finished), np.empty(0, np.uint64)
    for other in (
        with_ratios(trained, ("bad", "good"), groups=nothing),
        with_ratios(trained, groups=nothing, order=3),
    ):
        assert len(fitted(config, other)[1].tables) > 1
    swapped = dataclasses.replace(trained.metadata, label_names=("bad", "good"))
    names = trained.metadata.label_names
    kept = kept_params(dataclasses.replace(trained, metadata=swapped), names)
    assert not {"head", "ngrams"} & set(kept)


def test_a_score_on_the_training_part_does_not_know_its_labels(
    config: Config, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    trained = load_trained_model(finished)

    def watched(model: Any, encoder: TextEncoder, *rest: Any) -> ClassifierEvaluator:
        used.append(encoder.ngrams)
        return ClassifierEvaluator(model, encoder, rest[0], rest[-1])

    monkeypatch.setattr(evaluate_module, "make_evaluator", watched)
    for split in ("train", "test"):
        evaluate_split(trained, config.data, split, show_progress=False)
    assert len(used[0].tables) > 1 == len(used[1].tables)


def test_probabilities_are_calibrated(finished: Path) -> None:
    trained = load_trained_model(finished)
    history = trained.metadata.history
    assert history.temperature != 1.0
    raw = dataclasses.replace(
        trained.metadata, history=dataclasses.replace(history, temperature=1.0)
    )
    calibrated = Predictor(trained).predict(TEXTS)
    for a, b in zip(
        calibrated,
        Predictor(dataclasses.replace(trained, metadata=raw)).predict(TEXTS),
        strict=True,
    ):
        log_odds = [np.log(p.probabilities["pos"] / p.probabilities["neg"]) for p in (a, b)]
        assert log_odds[0] == pytest.approx(log_odds[1] / history.temperature, rel=2e-3, abs=1e-4)


def test_an_embedding_starts_from_a_file_and_may_stay_as_it_is(
    brief_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.txt"
    words = ("film", "superb", "dull", "never-read")
    path.write_text("".join(f"{w} {' '.join([str(i)] * 8)}\n" for i, w in enumerate(words, 1)))
    model = {"pretrained_vectors": str(path), "freeze_embedding": True}
    with caplog.at_level(logging.INFO):
        train(changed(brief_config, model=model), tmp_path / "run", show_progress=False)
    assert "of the vocabulary" in caplog.text
    path.unlink()  # a restored model never asks for it
    trained = load_trained_model(tmp_path / "run")
    table = np.asarray(trained.params["embedding"]["embedding"])
    pieces = trained.metadata.encoder.tokenizer.pieces(range(len(table)))
    for number, word in enumerate(words[:3], 1):
        np.testing.assert_array_equal(table[pieces.index(f"▁{word}")], np.full(8, number))
    np.testing.assert_array_equal(table[UNKNOWN_ID], np.full(8, 2))
    assert not table[PAD_ID].any()
    drawn = table[pieces.index("▁the")]
    assert len(set(drawn.tolist())) == 8
    again = train(changed(brief_config, model=model), tmp_path / "run", show_progress=False)
    assert again["train_steps"] == 7


def test_padding_stays_zero_where_the_embedding_is_trained(
    brief_config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("film " + "0.5 " * 8 + "\n" + "dull " + "1.5 " * 8 + "\n")
    model = {"pretrained_vectors": str(path)}
    train(changed(brief_config, model=model), tmp_path / "run", show_progress=False)
    table = np.asarray(load_trained_model(tmp_path / "run").params["embedding"]["embedding"])
    assert not table[PAD_ID].any()
    assert np.abs(table[UNKNOWN_ID] - 1).max() < 0.2
    assert not (table == 0.5).all(axis=1).any()  # "film" has moved


def test_vectors_that_are_not_there_are_missed_before_a_text_is_read(
    brief_config: Config, tmp_path: Path
) -> None:
    config = changed(brief_config, model={"pretrained_vectors": str(tmp_path / "none.txt")})
    with pytest.raises(UserError, match=r"pretrained_vectors = .*none.txt': no such file"):
        train(config, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
