"""Properties that hold for whatever Hypothesis draws: plans, batches, texts, settings, masks."""

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_flax import LSTM
from lstm_flax.checkpoints.metadata import Metadata, read_values
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.config.fields import bounds_of, leaves, value_at
from lstm_flax.config.files import load_config
from lstm_flax.config.tokenizer import TokenizerConfig
from lstm_flax.data.batching import Batcher, BatchPlan
from lstm_flax.errors import UserError
from lstm_flax.text.normalization import normalize
from lstm_flax.text.spans import encode_with_spans, normalize_with_spans
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.types import PAD_ID

# The same examples on every machine; a failure there can be repeated here.
drawn = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
lengths = st.lists(st.integers(1, 90), min_size=1, max_size=60)
widths = st.sets(st.integers(1, 64), min_size=1, max_size=4).map(sorted)
any_text = st.text(st.characters(), max_size=40)  # lone surrogates and controls too


@drawn
@given(lengths, st.integers(1, 9), widths, st.integers(0, 2**63), st.integers(0, 9), st.booleans())
def test_a_plan_holds_each_example_once(
    counts: list[int], size: int, buckets: list[int], seed: int, epoch: int, shuffle: bool
) -> None:
    longest = buckets[-1]
    plan = BatchPlan(counts, size, buckets, longest, seed, epoch, shuffle)
    again = BatchPlan(counts, size, buckets, longest, seed, epoch, shuffle)
    rows = [index for batch in plan for index in batch.indices.tolist()]
    assert sorted(rows) == list(range(len(counts)))
    assert rows == [index for batch in again for index in batch.indices.tolist()]
    kept = np.minimum(counts, longest)
    for batch in plan:
        assert 1 <= len(batch.indices) <= size
        assert batch.width in buckets
        assert kept[batch.indices].max() <= batch.width
    partial = [batch.width for batch in plan if len(batch.indices) < size]
    assert len(partial) == len(set(partial))
    if not shuffle:
        assert len(plan) == math.ceil(len(counts) / size)


@drawn
@given(
    st.lists(st.lists(st.integers(4, 99), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 12),
    st.integers(0, 3),
    st.sampled_from(["head", "head_tail"]),
)
def test_a_batch_holds_the_tokens_that_are_kept_and_nothing_else(
    texts: list[list[int]], longest: int, spare: int, truncation: str
) -> None:
    split = TokenizedSplit.from_sequences([np.array(t) for t in texts], [0] * len(texts))
    batcher = Batcher(
        split,
        batch_size=len(texts) + spare,
        bucket_widths=(longest,),
        max_length=longest,
        truncation=truncation,
    )
    batch = batcher.make(range(len(texts)), longest)
    for row, tokens in enumerate(texts):
        head = longest if truncation == "head" else (longest + 1) // 2
        kept = tokens
        if len(tokens) > longest:
            kept = tokens[:head] + tokens[len(tokens) - (longest - head) :]
        assert batch.lengths[row] == len(kept)
        assert batch.token_ids[row].tolist() == kept + [PAD_ID] * (longest - len(kept))
    assert batch.example_mask.tolist() == [True] * len(texts) + [False] * spare
    assert (batch.lengths >= 1).all()
    assert (batch.token_ids[len(texts) :] == PAD_ID).all()


@drawn
@given(any_text, st.booleans())
def test_normalised_text_is_one_line_whose_characters_have_their_places(
    text: str, lowercase: bool
) -> None:
    normalized = normalize(text, lowercase)
    normalized.encode()  # nothing that UTF-8 has no bytes for
    assert normalized == normalized.strip()
    assert "  " not in normalized
    assert "\n" not in normalized
    with_places, places = normalize_with_spans(text, lowercase)
    assert with_places == normalized
    assert len(places) == len(normalized)
    assert ((places[:, 0] >= 0) & (places[:, 0] < places[:, 1])).all()
    assert (places[:, 1] <= len(text)).all()


@pytest.fixture(scope="module", params=["word", "char", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    texts = ["a fine film, a joy", "a dull film, a bore", "fine acting & dull music: 映画"] * 3
    size = 30 if request.param == "unigram" else 100
    return Tokenizer.train(texts, TokenizerConfig(kind=request.param, vocab_size=size), True)


@drawn
@given(texts=st.lists(any_text, min_size=1, max_size=4))
def test_a_text_has_the_same_tokens_alone_and_in_company(
    tokenizer: Tokenizer, texts: list[str]
) -> None:
    encoded = tokenizer.encode_batch(texts)
    restored = Tokenizer.from_bytes(tokenizer.to_bytes())
    for text, ids in zip(texts, encoded, strict=True):
        assert len(ids) >= 1
        assert 0 <= ids.min() <= ids.max() < tokenizer.vocab_size
        assert PAD_ID not in ids
        np.testing.assert_array_equal(tokenizer.encode_batch([text])[0], ids)
        np.testing.assert_array_equal(restored.encode_batch([text])[0], ids)
        again, places = encode_with_spans(tokenizer, text)
        np.testing.assert_array_equal(again, ids)
        assert ((places >= 0) & (places <= len(text))).all()


FIELDS = dict(leaves(Config))


@drawn
@given(
    st.sampled_from(sorted(FIELDS)),
    st.one_of(st.integers(), st.floats(), st.booleans(), any_text, st.none()),
)
def test_a_value_is_taken_within_its_bounds_or_refused_by_name(path: str, value: Any) -> None:
    flag = f"--config.{path}={value}"
    try:
        made = Config.from_config_dict(load_config("quickstart", [flag]))
    except UserError as raised:
        error = str(raised)
    else:
        assert bounds_of(FIELDS[path]).allow(value_at(made, path))
        assert Config.from_config_dict(json.loads(json.dumps(made.to_dict()))) == made
        return
    assert "config" in error
    assert "\n" not in error


def _places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested JSON."""
    inner = values.items() if isinstance(values, dict) else enumerate(values)
    found = []
    for key, value in inner:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += _places(value, (*path, key))
    return found


@drawn
@given(data=st.data())
def test_metadata_that_someone_changed_are_used_or_refused(
    finished: tuple[Path, dict], tmp_path: Path, data: st.DataObject
) -> None:
    trained = load_once(finished[0])
    values = copy.deepcopy(read_values(trained.path))
    place = data.draw(st.sampled_from(_places(values)))
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), any_text,
            st.lists(st.integers(), max_size=3), st.dictionaries(any_text, st.none(), max_size=2),
        )
    )  # fmt: skip
    folder = tmp_path / "7" / "metadata"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata").write_text(json.dumps(values))
    try:
        read = read_values(folder.parent)
        metadata = Metadata.from_json(read, folder.parent, trained.metadata.encoder)
    except UserError as raised:
        error = str(raised)
    else:
        assert isinstance(metadata.config, Config)
        assert len(set(metadata.label_names)) == len(metadata.label_names)
        return
    assert "\n" not in error


_LOADED: dict[Path, Any] = {}


def load_once(workdir: Path) -> Any:
    """The model of a run, read once for all examples."""
    if workdir not in _LOADED:
        _LOADED[workdir] = load_trained_model(workdir)
    return _LOADED[workdir]


@dataclasses.dataclass(frozen=True)
class _Layer:
    apply: Any
    params: Any


@pytest.fixture(scope="module")
def layer() -> _Layer:
    module = LSTM(3, bidirectional=True, implementation="scan")
    shape = np.zeros((4, 6, 2), np.float32)
    params = module.init(jax.random.key(0), shape, np.full(4, 6))
    return _Layer(jax.jit(module.apply), params)


@drawn
@given(
    counts=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    noise=st.floats(-(2.0**100), 2.0**100, width=32),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_lies_past_a_length_changes_nothing(
    layer: _Layer, counts: list[int], noise: float, seed: int
) -> None:
    inputs = np.random.default_rng(seed).normal(size=(4, 6, 2)).astype(np.float32)
    past = np.arange(6) >= np.array(counts)[:, None]
    outputs, (h_n, c_n) = layer.apply(layer.params, inputs, np.array(counts))
    noisy = np.where(past[..., None], np.float32(noise), inputs)
    others, (h_other, c_other) = layer.apply(layer.params, noisy, np.array(counts))
    np.testing.assert_array_equal(outputs, others)
    np.testing.assert_array_equal(h_n, h_other)
    np.testing.assert_array_equal(c_n, c_other)
    assert (np.asarray(outputs)[past] == 0).all()
