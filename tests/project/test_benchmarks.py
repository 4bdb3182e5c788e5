"""What a figure of the benchmarks rests on: what is compared, sampled and extrapolated."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from epoch import compare, draw_sample, estimate_epoch, stratum
from epoch_sides import SIDES
from measuring import summary
from reviews import imdb_config, labelled_reviews, review_texts
from scaling import growth
from scaling_child import write_cache
from start_up import last_step
from train_case import Size, random_batch

from lstm_flax.config import Config, ModelConfig
from lstm_flax.data.batching import PlannedBatch
from lstm_flax.data.opening import open_dataset
from lstm_flax.data.token_cache import read_split
from lstm_flax.models import TextClassifier, apply_classifier, init_params
from lstm_flax.training.train_state import make_key
from lstm_flax.types import Batch

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return imdb_config(made_up=tmp_path_factory.mktemp("made_up"))


def planned(rows: int, width: int) -> PlannedBatch:
    return PlannedBatch(np.arange(rows), width)


PLAN = [planned(8, 64)] * 10 + [planned(8, 128)] * 30 + [planned(3, 128)]


def test_an_epoch_is_the_sum_over_widths_of_number_times_median() -> None:
    sample = [planned(8, 64), planned(8, 128), planned(8, 120), planned(8, 128)]
    found = estimate_epoch(PLAN, sample, [1.0, 2.0, 4.0, 9.0])
    assert found["median_seconds"] == 10 * 1.0 + 31 * 4.0
    assert found["fastest_seconds"] == 10 * 1.0 + 31 * 2.0
    assert found["slowest_seconds"] == 10 * 1.0 + 31 * 9.0
    assert (found["batches_timed"], found["batches_of_epoch"]) == (4, 41)


def test_a_sample_has_every_width_and_whole_batches_only() -> None:
    sample = draw_sample(PLAN, 12, np.random.default_rng(0))
    assert [sum(stratum(b) == width for b in sample) for width in (64, 128)] == [3, 9]
    assert all(len(batch.indices) == 8 for batch in sample)
    rare = [*PLAN, planned(2, 256)]
    assert 256 in map(stratum, draw_sample(rare, 4, np.random.default_rng(0)))


def test_growth_is_relative_to_the_first_row_and_by_element() -> None:
    sizes = [Size(width=width) for width in (128, 256, 512)]
    rows = growth("width", sizes, [[1.0], [2.0], [6.0]])
    assert [row["times_linear"] for row in rows] == [1.0, 1.0, 1.5]
    hidden = growth("hidden", [Size(hidden=64), Size(hidden=128)], [[1.0], [4.0]])
    assert hidden[1]["times_linear"] == 1.0  # four times the operations


def test_random_batches_fill_the_last_quarter() -> None:
    batch = random_batch(Size(16, 64, 8, 50))
    assert batch.lengths.min() >= 48
    assert batch.lengths.max() == 64
    assert ((batch.token_ids != 0).sum(axis=1) == batch.lengths).all()


def test_a_written_cache_holds_the_tokens_asked_for(tmp_path: Path) -> None:
    write_cache(tmp_path / "split", 12_345, 100)
    split = read_split(tmp_path / "split")
    assert split is not None
    assert split.lengths.sum() == len(split.token_ids) == 12_345
    assert split.lengths.min() >= 1
    assert 4 <= split.token_ids.min() <= split.token_ids.max() < 100


def test_the_last_step_of_a_log_is_that_of_its_last_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert last_step(log) == 0
    log.write_text('{"event": "train", "step": 7}\n{"event": "train", "st')
    assert last_step(log) == 7


def test_summary_is_median_and_spread() -> None:
    expected = {"median_seconds": 2.0, "fastest_seconds": 1.0, "slowest_seconds": 9.0, "times": 3}
    assert summary([9.0, 1.0, 2.0]) == expected


def test_labelled_reviews_are_training_and_development_part(made_up: Config) -> None:
    dataset = open_dataset(made_up.data, made_up.tokenizer)
    whole, parts = labelled_reviews(dataset), [dataset.split(n) for n in ("train", "development")]
    assert len(whole) == sum(map(len, parts))
    expected = [*parts[0], *parts[1]]
    for index, ids in enumerate(expected):
        np.testing.assert_array_equal(whole[index], ids)
    np.testing.assert_array_equal(whole.labels, np.concatenate([p.labels for p in parts]))


def test_a_token_cache_alone_is_enough(made_up: Config, tmp_path: Path) -> None:
    dataset = open_dataset(made_up.data, made_up.tokenizer)
    dataset.split("train")
    dataset.split("development")
    manifest = json.loads((dataset.folder / "dataset.json").read_text())
    assert not manifest["settings"]["data"]["use_unlabelled"]
    config = imdb_config(dataset.folder)
    assert len(labelled_reviews(open_dataset(config.data, config.tokenizer))) == len(
        labelled_reviews(dataset)
    )
    raw, rebuilt = review_texts(made_up, 3), review_texts(config, 3)
    encode = dataset.tokenizer.encode_batch
    for one, other in zip(encode(raw), encode(rebuilt), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # CI has torch for the slow tests alone
@needs_torch
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_sides_of_the_epoch_compute_one_loss(made_up: Config, bidirectional: bool) -> None:
    model = ModelConfig(
        embedding_size=6,
        hidden_size=5,
        num_layers=2,
        bidirectional=bidirectional,
        pooling="last",
        head="sigmoid",
        dropout=0.5,
        word_dropout=0.0,
    )
    data = dataclasses.replace(made_up.data, max_length=32, batch_size=8)
    config = dataclasses.replace(made_up, model=model, data=data)
    dataset = open_dataset(config.data, config.tokenizer)
    split, vocab_size = labelled_reviews(dataset), dataset.tokenizer.vocab_size
    classifier = TextClassifier.from_config(config.model, vocab_size, 2)
    params = init_params(classifier, make_key(0))
    compared = compare(SIDES, config, split, params, vocab_size, 1e-5)
    # The padded backward direction starts in the padding, so it is not compared.
    padded = {"torch_padded", "torch_padded_bfloat16"}
    assert set(compared) == set(SIDES) - (padded if bidirectional else set())
    assert max(compared["ours_bfloat16"].values()) > 0  # other products, or nothing is measured
    with pytest.raises(SystemExit, match="torch_tutorial differs"):
        compare(SIDES[:2], config, split, params, vocab_size, 0.0)


@pytest.mark.slow  # CI has torch for the slow tests alone
@needs_torch
@pytest.mark.parametrize("way", ["packed", "flipped"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "concat"])
def test_torch_has_the_classifier_with_all_its_parts(way: str, pooling: str) -> None:
    import torch
    from torch_classifier import TorchClassifier

    config = ModelConfig(
        embedding_size=6, hidden_size=5, num_layers=2, pooling=pooling, ngram_order=3
    )
    model = TextClassifier.from_config(config, 20, 3, num_token_features=9)
    rng = np.random.default_rng(0)
    lengths = np.array([7, 1, 4], np.int32)
    mask = np.arange(7) < lengths[:, None]
    token_ids = np.where(mask, rng.integers(4, 20, (3, 7)), 0).astype(np.int32)
    features = (rng.normal(size=(3, 7, 9)) * mask[..., None]).astype(np.float32)
    batch = Batch(token_ids, lengths, np.zeros(3, np.int32), np.ones(3, bool), features)
    params = init_params(model, make_key(0))
    expected = apply_classifier(model, params, batch)
    theirs = TorchClassifier(config, 20, 3, 9, way).load(params).eval()
    tensors = [torch.from_numpy(array) for array in (token_ids, lengths, features)]
    with torch.no_grad():
        actual = theirs(tensors[0].long(), tensors[1].long(), tensors[2])
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-5)
