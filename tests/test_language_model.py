"""The language model: causality, carried state, sampled softmax, perplexity, resume, weights."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.data.dataset import open_dataset
from lstm_flax.data.streams import Streams, running_text
from lstm_flax.data.token_cache import TokenizedSplit
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.model.classifier import TextClassifier
from lstm_flax.model.language_model import (
    LanguageModel,
    drop_recurrent_weights,
    read_piece,
    softmax_weights,
)
from lstm_flax.training.checkpoints import find_checkpoints
from lstm_flax.training.loop import Run
from lstm_flax.training.scoring import evaluate_trained_model
from lstm_flax.training.softmax_losses import (
    draw_candidates,
    exact_cross_entropy,
    expected_log_counts,
    sampled_cross_entropy,
)
from lstm_flax.training.train import train
from lstm_flax.training.trained_model import build_language_model, init_params, load_trained_model
from tests.run_files import figures, leaves, write_config
from tests.test_training import changed

VOCAB = 40


def small_model(config: Config, **fields: Any) -> tuple[LanguageModel, Any]:
    model = build_language_model(changed(config, model=fields), VOCAB)
    return model, init_params(model, jax.random.PRNGKey(0))


def random_ids(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, VOCAB, shape).astype(np.int32)


# ---------------------------------------------------------------- streams


def test_streams_hold_the_running_text_in_either_direction() -> None:
    text = np.arange(100, 126)  # 25 tokens to predict
    streams = Streams(text, streams=2, steps=4, directions=2)
    assert len(streams) == 3
    pieces = [streams[k] for k in range(3)]
    for direction, reading in enumerate([text, text[::-1]]):
        for row in range(2):
            read = np.concatenate([piece.token_ids[row, direction] for piece in pieces])
            targets = np.concatenate([piece.targets[row, direction] for piece in pieces])
            np.testing.assert_array_equal(read, reading[row * 12 : row * 12 + 12])
            np.testing.assert_array_equal(targets, reading[row * 12 + 1 : row * 12 + 13])
    assert all(piece.target_mask.all() for piece in pieces)


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 24, 25])
def test_padded_streams_predict_every_token_once(tokens: int) -> None:
    text = np.arange(100, 101 + tokens)
    streams = Streams(text, streams=2, steps=4, directions=2, pad=True)
    for direction, expected in enumerate([text[1:], text[:-1]]):
        seen = [p.targets[:, direction][p.target_mask[:, direction]] for p in streams]
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), expected)


def test_running_text_depends_on_the_epoch_and_keeps_every_review() -> None:
    splits = [
        TokenizedSplit.from_sequences([np.array([10, 11]), np.array([12])], [0, 1]),
        TokenizedSplit.from_sequences([np.array([20 + i] * i) for i in range(1, 9)], [-1] * 8),
    ]
    texts = [running_text(splits, seed=1, epoch=epoch).tolist() for epoch in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]

    def reviews(text: list[int]) -> list[str]:
        return " ".join(map(str, text)).split(" 3 ")

    plain = running_text(splits, seed=None).tolist()
    assert plain[:6] == [3, 10, 11, 3, 12, 3]
    for text in texts:
        assert text[0] == text[-1] == 3
        assert sorted(text) == sorted(plain)
    assert [10, 11] in [text[i : i + 2] for text in texts for i in range(len(text))]
    assert len(reviews(texts[0])) == len(reviews(plain)) == 10


# ---------------------------------------------------------------- model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_token_is_predicted_from_those_before_it_alone(
    lm_config: Config, layers: int, bidirectional: bool
) -> None:
    model, params = small_model(lm_config, num_layers=layers, bidirectional=bidirectional)
    ids = random_ids(3, model.directions, 9)
    queries, _, _ = read_piece(model, params, ids, model.initial_carry(3))
    for t in (0, 4, 8):
        other = ids.copy()
        other[:, :, t] = 4 + (other[:, :, t] - 3) % (VOCAB - 4)
        there, _, _ = read_piece(model, params, other, model.initial_carry(3))
        np.testing.assert_array_equal(there[:, :, :t], queries[:, :, :t])
        assert np.all(np.any(there[:, :, t:] != queries[:, :, t:], axis=-1))
    if bidirectional:  # the two never see each other
        other = ids.copy()
        other[:, 1] = random_ids(3, 9, seed=1)
        there, _, _ = read_piece(model, params, other, model.initial_carry(3))
        np.testing.assert_array_equal(there[:, 0], queries[:, 0])
        assert np.any(there[:, 1] != queries[:, 1])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_carried_state_makes_pieces_one_long_sequence(lm_config: Config, layers: int) -> None:
    model, params = small_model(lm_config, num_layers=layers)
    ids = random_ids(3, 2, 12)
    whole, _, end = read_piece(model, params, ids, model.initial_carry(3))
    first, _, carry = read_piece(model, params, ids[..., :5], model.initial_carry(3))
    second, _, last = read_piece(model, params, ids[..., 5:], carry)
    joined = jnp.concatenate([first, second], axis=2)
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_no_gradient_flows_into_the_carry(lm_config: Config) -> None:
    model, params = small_model(lm_config)

    def final(params: Any) -> jax.Array:
        _, _, carry = read_piece(model, params, random_ids(3, 2, 5), model.initial_carry(3))
        return sum(jnp.sum(state) for state in carry)

    assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.grad(final)(params)))


def test_the_two_directions_are_the_classifier_s(lm_config: Config) -> None:
    _, params = small_model(lm_config)
    classifier = TextClassifier(lm_config.model, VOCAB, 2)
    theirs = init_params(classifier, jax.random.PRNGKey(1))

    def shapes(tree: Any) -> Any:
        return jax.tree.map(jnp.shape, {name: tree[name] for name in ("embedding", "recurrent")})

    assert shapes(params) == shapes(theirs)


def test_weight_drop_drops_recurrent_kernels_only_and_scales_the_rest(lm_config: Config) -> None:
    _, params = small_model(lm_config, hidden_size=32)
    before = params["recurrent"]
    after = drop_recurrent_weights(before, 0.25, jax.random.PRNGKey(3))
    cell = "layers_0_backward"
    np.testing.assert_array_equal(after[cell]["ii"]["kernel"], before[cell]["ii"]["kernel"])
    np.testing.assert_array_equal(after[cell]["hf"]["bias"], before[cell]["hf"]["bias"])
    masks = []
    for gate in ("hi", "hf", "hg", "ho"):
        was, now = before[cell][gate]["kernel"], after[cell][gate]["kernel"]
        kept = np.asarray(now) != 0
        assert 0.65 < kept.mean() < 0.85
        np.testing.assert_allclose(now[kept], was[kept] / 0.75, rtol=1e-6)
        masks.append(kept)
    assert np.any(masks[0] != masks[1])


def test_weight_drop_has_one_mask_for_all_steps_and_none_at_rate_zero(lm_config: Config) -> None:
    quiet = {"embedding_dropout": 0.0, "word_dropout": 0.0, "head_dropout": 0.0}
    ids, key = random_ids(2, 2, 12), jax.random.PRNGKey(5)
    for rate in (0.0, 0.5):
        config = changed(lm_config, language_model={"weight_drop": rate})
        model, params = small_model(config, **quiet)
        start = model.initial_carry(2)
        plain, _, _ = read_piece(model, params, ids, start)
        whole, _, _ = read_piece(model, params, ids, start, key)
        first, _, carry = read_piece(model, params, ids[..., :5], start, key)
        second, _, _ = read_piece(model, params, ids[..., 5:], carry, key)
        joined = jnp.concatenate([first, second], axis=2)
        np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)
        assert np.array_equal(plain, whole) == (rate == 0.0)


# ---------------------------------------------------------------- softmax


def softmax_case(seed: int = 0, rows: int = 7) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(rows, 6)).astype(np.float32)
    table = rng.normal(size=(VOCAB, 6)).astype(np.float32)
    bias = rng.normal(size=VOCAB).astype(np.float32)
    targets = rng.integers(0, VOCAB, rows).astype(np.int32)
    return queries, targets, table, bias


def naive_losses(queries: Any, targets: Any, table: Any, bias: Any) -> np.ndarray:
    logits = (np.asarray(queries, np.float64) @ np.asarray(table, np.float64).T) + bias
    normalizer = np.log(np.exp(logits).sum(axis=1))
    return np.asarray(normalizer - logits[np.arange(len(targets)), targets])


def test_exact_cross_entropy_equals_a_naive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_flax.training.softmax_losses._EXACT_CHUNK", 3)
    queries, targets, table, bias = softmax_case()
    losses = exact_cross_entropy(queries, targets, table, bias)
    np.testing.assert_allclose(losses, naive_losses(queries, targets, table, bias), rtol=1e-5)


@pytest.mark.parametrize("samples", [0, VOCAB])
def test_all_classes_as_candidates_are_the_full_softmax(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_flax.training.softmax_losses._SAMPLED_CHUNK", 3)
    queries, targets, table, bias = softmax_case()
    weights = np.array([1, 1, 0, 1, 2, 1, 1], np.float32)
    every = draw_candidates(jax.random.PRNGKey(0), VOCAB, samples)
    counts = expected_log_counts(jnp.asarray(targets), VOCAB, samples)

    def sampled(queries: Any, table: Any, bias: Any) -> Any:
        return sampled_cross_entropy(queries, targets, weights, table, bias, every, counts)

    def exact(queries: Any, table: Any, bias: Any) -> jax.Array:
        return jnp.sum(exact_cross_entropy(queries, targets, table, bias) * weights)

    loss, estimate = sampled(queries, table, bias)
    np.testing.assert_allclose(loss, exact(queries, table, bias), rtol=1e-5)
    np.testing.assert_allclose(estimate, loss, rtol=1e-6)
    ours = jax.grad(lambda *a: 3 * sampled(*a)[0], argnums=(0, 1, 2))(queries, table, bias)
    theirs = jax.grad(lambda *a: 3 * exact(*a), argnums=(0, 1, 2))(queries, table, bias)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_the_sampled_loss_is_a_softmax_over_target_and_other_candidates() -> None:
    queries, targets, table, bias = softmax_case()
    samples = 12
    drawn = draw_candidates(jax.random.PRNGKey(4), VOCAB, samples)
    targets[0] = drawn.token_ids[8]  # among the draws: it must not compete with itself
    counts = np.asarray(expected_log_counts(jnp.asarray(targets), VOCAB, samples), np.float64)
    expected, estimated = 0.0, 0.0
    for n, target in enumerate(targets):
        logits = np.asarray(table @ queries[n] + bias, np.float64)
        others = [
            np.exp(logits[j] - c)
            for j, c in zip(*map(np.asarray, drawn), strict=True)
            if j != target
        ]
        own = np.exp(logits[target] - counts[n])
        expected -= np.log(own / (own + sum(others)))
        own = np.exp(logits[target])
        estimated -= np.log(own / (own + sum(others)))
    weights = np.ones(len(targets), np.float32)
    loss = sampled_cross_entropy(
        queries, targets, weights, table, bias, drawn, counts.astype(np.float32)
    )
    np.testing.assert_allclose(loss, (expected, estimated), rtol=1e-5)


def test_the_gradient_of_the_sampled_loss_is_that_of_its_formula() -> None:
    queries, targets, table, bias = softmax_case()
    drawn = draw_candidates(jax.random.PRNGKey(4), VOCAB, 12)
    targets[:3] = drawn.token_ids[8], drawn.token_ids[2], VOCAB - 1
    counts = expected_log_counts(jnp.asarray(targets), VOCAB, 12)
    weights = np.linspace(0.5, 2, len(targets)).astype(np.float32)

    def ours(queries: Any, table: Any, bias: Any) -> jax.Array:
        return sampled_cross_entropy(queries, targets, weights, table, bias, drawn, counts)[0]

    def formula(queries: Any, table: Any, bias: Any) -> jax.Array:
        logits = queries @ table.T + bias
        own = logits[jnp.arange(len(targets)), targets] - counts
        others = logits[:, drawn.token_ids] - drawn.log_counts
        hit = drawn.token_ids == targets[:, None]
        total = jnp.exp(own) + jnp.sum(jnp.where(hit, 0, jnp.exp(others)), axis=1)
        return jnp.sum(weights * (jnp.log(total) - own))

    for a, b in zip(
        jax.grad(ours, argnums=(0, 1, 2))(queries, table, bias),
        jax.grad(formula, argnums=(0, 1, 2))(queries, table, bias),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_expected_counts_are_how_often_tokens_are_drawn() -> None:
    samples, trials = 12, 4000
    keys = jax.random.split(jax.random.PRNGKey(0), trials)
    drawn = jax.vmap(lambda key: draw_candidates(key, VOCAB, samples).token_ids)(keys)
    assert drawn.min() >= 0
    assert drawn.max() < VOCAB
    frequency = np.bincount(np.ravel(drawn), minlength=VOCAB) / trials
    expected = np.exp(expected_log_counts(jnp.arange(VOCAB), VOCAB, samples))
    np.testing.assert_allclose(frequency, expected, atol=0.03)
    assert expected.sum() == pytest.approx(samples, rel=1e-4)


# ---------------------------------------------------------------- a run


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
    split = open_dataset(lm_config).split("development")
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
            queries, _, _ = read_piece(model, params, ids, model.initial_carry(1))
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
    again = evaluate_trained_model(trained, lm_config, "development", show_progress=False)
    assert again["device"] == "1 x cpu"
    assert again["loss"] == pytest.approx(results["loss"], rel=1e-5)


def test_a_classifier_takes_embedding_and_both_directions(
    lm_config: Config,
    tiny_config: Config,
    finished_lm: tuple[Path, dict],
    tmp_path: Path,
    caplog: Any,
) -> None:
    config = changed(tiny_config, training={"epochs": 1})
    config = dataclasses.replace(config, init_from=str(finished_lm[0]))
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
    scored = evaluate_trained_model(trained, lm_config, "development", show_progress=False)
    assert scored["perplexity"] == results["perplexity"]


def test_penalties_move_the_outputs_their_way(lm_config: Config, tmp_path: Path) -> None:
    short = changed(lm_config, training={"max_steps": 40, "ema_decay": 0.0})
    sizes = {}
    for name in ("none", "activation_penalty", "temporal_penalty"):
        fields = {} if name == "none" else {name: 50.0}
        config = changed(short, language_model=fields)
        train(config, tmp_path / name, show_progress=False)
        trained = load_trained_model(tmp_path / name)
        model = trained.model
        ids = random_ids(4, 2, 20)
        _, outputs, _ = read_piece(model, trained.params, ids, model.initial_carry(4))
        change = np.diff(outputs, axis=2)
        sizes[name] = (np.mean(np.square(outputs)), np.mean(np.square(change)))
    assert sizes["activation_penalty"][0] < 0.5 * sizes["none"][0]
    assert sizes["temporal_penalty"][1] < 0.5 * sizes["none"][1]


def test_too_little_text_for_the_streams_is_a_user_error(lm_config: Config, tmp_path: Path) -> None:
    config = changed(lm_config, language_model={"steps": 100_000})
    with pytest.raises(UserError, match=r"language_model\.steps = 100000"):
        train(config, tmp_path, show_progress=False)
    assert not list(tmp_path.iterdir())
