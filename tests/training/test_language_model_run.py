"""Runs of a language model: perplexity, resume, two devices, what a classifier takes over."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
from lstm_flax.data.streams import running_text
from lstm_flax.errors import UserError
from lstm_flax.evaluation.evaluate import evaluate_split
from lstm_flax.inference.predictor import Predictor
from lstm_flax.models.language_model import LanguageModel, softmax_weights
from lstm_flax.training.run.loop import Run
from lstm_flax.training.train import train
from tests.cli.run_files import figures, leaves, write_config
from tests.models.language_model_cases import jit_read, naive_losses, random_ids
from tests.training.step_cases import changed


def test_perplexity_falls_and_is_that_of_a_naive_computation(
    lm_config: Config, finished_lm: tuple[Path, dict]
) -> None:
    workdir, results = finished_lm
    assert results["train_steps"] == 150
    assert results["split"] == "development"
    epochs = [r for r in figures(workdir) if r["event"] == "epoch"]
    perplexities = [r["development_perplexity"] for r in epochs]
    assert len(perplexities) >= 2
    assert perplexities == sorted(perplexities, reverse=True)
    assert results["perplexity"] == pytest.approx(perplexities[-1], rel=1e-6)
    assert results["perplexity"] < 40  # 64 pieces, nearly all of them among 29 words

    trained = load_trained_model(workdir)
    split = open_dataset(lm_config.data, lm_config.tokenizer).split("development")
    assert results["tokens"] == len(split.token_ids) + len(split)
    model, params = trained.model, trained.params
    assert isinstance(model, LanguageModel)
    sums = []
    for direction in range(2):
        text = running_text([split], seed=None)[:: 1 - 2 * direction].astype(np.int32)
        rows = lm_config.data.batch_size
        length = -(-(len(text) - 1) // (rows * 8)) * 8
        total = 0.0
        for row in range(rows):  # each stream at once, all its tokens in one piece
            stream = text[row * length : (row + 1) * length + 1]
            if len(stream) < 2:
                continue
            ids = np.stack([stream[:-1]] * 2)[None]
            queries, _, _ = jit_read(model, params, ids, model.initial_carry(1))
            total += naive_losses(
                queries[0, direction], stream[1:], *map(np.asarray, softmax_weights(params))
            ).sum()
        sums.append(total / results["tokens"])
    np.testing.assert_allclose(np.exp(sums), results["perplexities"], rtol=1e-4)
    np.testing.assert_allclose(np.exp(np.mean(sums)), results["perplexity"], rtol=1e-4)


def test_killed_and_continued_equals_uninterrupted_bit_for_bit(
    lm_config: Config,
    finished_lm: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, results = finished_lm
    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 80:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(lm_config, tmp_path, show_progress=False)
    assert max(int(path.name) for path in (tmp_path / "last").iterdir()) < 80
    again = train(lm_config, tmp_path, show_progress=False)
    for kind in ("last", "best"):
        saved = leaves(whole, kind)
        assert len(saved) > 20
        for a, b in zip(saved, leaves(tmp_path, kind), strict=True):
            np.testing.assert_array_equal(a, b)
    assert figures(whole) == figures(tmp_path)
    assert again["perplexity"] == results["perplexity"]


def test_the_carry_is_part_of_the_checkpoint(finished_lm: tuple[Path, dict]) -> None:
    folder, (step, *_) = find_checkpoints(finished_lm[0], "last")
    folder.close()
    assert step == 150
    carried = [leaf for leaf in leaves(finished_lm[0]) if leaf.shape == (2, 1, 4, 8)]
    assert len(carried) == 2
    assert all(np.any(state) for state in carried)


@pytest.mark.slow
def test_a_run_on_two_devices_is_the_run_on_one(
    lm_config: Config, finished_lm: tuple[Path, dict], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "tiny.py", lm_config)
    two = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    arguments = [f"--config={config}", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "lstm_flax", "train", *arguments],
        env=two,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["device"] == "2 x cpu"
    # Sums over half the rows each, then over both: equal but for rounding, and what grows of it.
    for figure in ("loss", "perplexities"):
        assert results[figure] == pytest.approx(finished_lm[1][figure], rel=0.01)
    trained = load_trained_model(tmp_path / "run")
    again = evaluate_split(trained, lm_config.data, "development", show_progress=False)
    assert again["device"] == "1 x cpu"
    assert again["loss"] == pytest.approx(results["loss"], rel=1e-5)


def test_a_classifier_takes_embedding_and_both_directions(
    brief_config: Config,
    finished_lm: tuple[Path, dict],
    tmp_path: Path,
    caplog: Any,
) -> None:
    config = dataclasses.replace(brief_config, init_from=str(finished_lm[0]))
    with caplog.at_level(logging.INFO):
        train(config, tmp_path, show_progress=False)
    (line,) = (r.getMessage() for r in caplog.records if "arrays taken" in r.getMessage())
    # The embedding, and of either direction four input kernels, four kernels and four biases.
    assert "25 of 27 arrays taken; started afresh: head/bias (2,), head/kernel (48, 2)" in line


def test_a_language_model_does_not_classify(finished_lm: tuple[Path, dict]) -> None:
    with pytest.raises(UserError, match="language model"):
        Predictor.from_checkpoint(finished_lm[0])


def test_evaluation_of_a_restored_model_repeats_the_figure(
    lm_config: Config, finished_lm: tuple[Path, dict]
) -> None:
    workdir, results = finished_lm
    assert json.loads((workdir / "results.json").read_text()) == results
    trained = load_trained_model(workdir)
    scored = evaluate_split(trained, lm_config.data, "development", show_progress=False)
    assert scored["perplexity"] == results["perplexity"]


@pytest.mark.slow
def test_penalties_move_the_outputs_their_way(lm_config: Config, tmp_path: Path) -> None:
    short = changed(lm_config, training={"max_steps": 40, "ema_decay": 0.0})
    short = changed(short, model={"bidirectional": False, "embedding_dropout": 0.0})
    sizes = {}
    for name in ("none", "activation_penalty", "temporal_penalty"):
        fields = {} if name == "none" else {name: 50.0}
        config = changed(short, language_model=fields)
        train(config, tmp_path / name, show_progress=False)
        trained = load_trained_model(tmp_path / name)
        model = trained.model
        ids = random_ids(4, 1, 20)
        _, outputs, _ = jit_read(model, trained.params, ids, model.initial_carry(4))
        change = np.diff(outputs, axis=2)
        sizes[name] = (np.mean(np.square(outputs)), np.mean(np.square(change)))
    assert sizes["activation_penalty"][0] < 0.5 * sizes["none"][0]
    assert sizes["temporal_penalty"][1] < 0.5 * sizes["none"][1]


def test_too_little_text_for_the_streams_is_a_user_error(lm_config: Config, tmp_path: Path) -> None:
    config = changed(lm_config, language_model={"bptt_length": 100_000})
    with pytest.raises(UserError, match=r"language_model\.bptt_length = 100000"):
        train(config, tmp_path, show_progress=False)
    assert not list(tmp_path.iterdir())
