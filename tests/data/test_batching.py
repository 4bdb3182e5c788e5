import numpy as np
import pytest

from lstm_flax.data.batching import Batcher, BatchPlan
from lstm_flax.text.tokenized import TokenizedSplit

WIDTHS = (32, 64, 96, 160)


def random_lengths(rng):
    return rng.integers(1, 300, size=rng.integers(1, 400))


def plan_of(lengths, epoch=0, seed=3, size=16, shuffle=True, max_length=130):
    return BatchPlan(lengths, size, WIDTHS, max_length, seed, epoch, shuffle)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.smoke
def test_every_example_exactly_once_and_fits(shuffle):
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = random_lengths(rng)
        size = int(rng.integers(1, 40))
        counts = set()
        for epoch in range(3):
            plan = plan_of(lengths, epoch, size=size, shuffle=shuffle)
            counts.add(len(plan))
            seen = np.concatenate([batch.indices for batch in plan])
            np.testing.assert_array_equal(np.sort(seen), np.arange(len(lengths)))
            for indices, width in plan:
                assert 1 <= len(indices) <= size
                assert width in WIDTHS
                assert np.minimum(lengths[indices], 130).max() <= width
        assert len(counts) == 1


def test_pure_function_of_seed_and_epoch():
    lengths = random_lengths(np.random.default_rng(1))

    def flat(plan):
        return [(batch.indices.tolist(), batch.width) for batch in plan]

    assert flat(plan_of(lengths, 4)) == flat(plan_of(lengths, 4))
    assert flat(plan_of(lengths, 4)) != flat(plan_of(lengths, 5))
    assert flat(plan_of(lengths, 4)) != flat(plan_of(lengths, 4, seed=2))
    assert plan_of(lengths, seed=-1)  # any integer will do
    other = plan_of(lengths, 5)
    assert flat(plan_of(lengths, 5))[7:] == [
        (other[k].indices.tolist(), other[k].width) for k in range(7, len(other))
    ]


@pytest.mark.smoke
def test_order_is_fixed_for_ever():
    """A run that is continued under a newer numpy sees the same batches."""
    plan = BatchPlan([5] * 6 + [40] * 3, 2, (32, 64), 64, seed=1, epoch=2)
    assert [(b.indices.tolist(), b.width) for b in plan] == [
        ([7, 8], 64),
        ([6], 64),
        ([1, 3], 32),
        ([0, 4], 32),
        ([2, 5], 32),
    ]


def test_few_partial_batches_and_little_padding():
    rng = np.random.default_rng(2)
    for _ in range(50):
        lengths = random_lengths(rng)
        plan = plan_of(lengths)
        partial = [b.width for b in plan if len(b.indices) < 16]
        assert len(partial) == len(set(partial))
        own = np.searchsorted(WIDTHS, np.minimum(lengths, 130))
        assert len(plan) <= sum(-(-int((own == b).sum()) // 16) for b in range(len(WIDTHS)))
        for indices, width in plan:
            at_home = own[indices] == WIDTHS.index(width)
            assert at_home.any()
            assert (~at_home).sum() < 16


def test_leftovers_fill_the_next_bucket_only_where_there_is_room():
    fits = BatchPlan([5, 5, 5, 40, 40], 4, (32, 64), 64, 0, 0)
    assert sorted(b.width for b in fits) == [32, 64]  # 3 + 2 are more than a batch
    joined = BatchPlan([5, 40, 40], 4, (32, 64), 64, 0, 0)
    assert [b.width for b in joined] == [64]


def test_evaluation_order_is_by_length():
    lengths = np.random.default_rng(3).integers(1, 200, size=101)
    plan = plan_of(lengths, shuffle=False)
    order = np.concatenate([batch.indices for batch in plan])
    assert (np.diff(np.minimum(lengths, 130)[order]) >= 0).all()
    assert len(plan) == 7


def test_no_examples_no_batches():
    assert len(plan_of([])) == 0
    assert len(plan_of([], shuffle=False)) == 0


def test_a_length_of_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        plan_of([3, 0])


def batcher(split, batch_size, max_length, truncation):
    return Batcher(
        split,
        batch_size=batch_size,
        bucket_widths=(32, 64),
        max_length=max_length,
        truncation=truncation,
    )


def test_an_epoch_is_planned_once():
    split = TokenizedSplit.from_sequences([np.arange(4, 9)] * 10, [0] * 10)
    made = batcher(split, 4, 32, "head")
    plan = made.plan(seed=1, epoch=2)
    assert made.plan(1, 2) is plan
    assert made.plan(1, 3) is not plan
    batches = list(made.epoch(1, 2))
    for (indices, width), batch in zip(plan, batches, strict=True):
        np.testing.assert_array_equal(batch.token_ids, made.make(indices, width).token_ids)


def cut_text(ids, max_length, truncation):
    """What is kept of one text, in plain Python."""
    ids = ids.tolist()
    if len(ids) <= max_length or truncation == "head":
        return ids[:max_length]
    tail = max_length // 2
    return ids[: max_length - tail] + ids[len(ids) - tail :]


@pytest.mark.parametrize("truncation", ["head", "head_tail"])
@pytest.mark.parametrize("max_length", [1, 2, 7, 32])
def test_batch_equals_rows_made_one_by_one(truncation, max_length):
    rng = np.random.default_rng(4)
    sequences = [rng.integers(4, 99, size=n) for n in (1, 2, 6, 7, 8, 31, 32, 33, 200)]
    labels = rng.integers(0, 5, size=len(sequences))
    split = TokenizedSplit.from_sequences(sequences, labels)
    indices = rng.permutation(len(sequences))
    batch = batcher(split, 12, max_length, truncation).make(indices, 32)
    assert batch.token_ids.shape == (12, 32)
    assert [a.dtype for a in batch[:4]] == [np.int32, np.int32, np.int32, bool]
    for row, i in enumerate(indices):
        expected = cut_text(sequences[i], max_length, truncation)
        assert batch.lengths[row] == len(expected) == min(len(sequences[i]), max_length)
        np.testing.assert_array_equal(batch.token_ids[row, : len(expected)], expected)
        assert not batch.token_ids[row, len(expected) :].any()
        assert batch.labels[row] == labels[i]
    assert batch.example_mask.tolist() == [True] * 9 + [False] * 3
    assert not batch.token_ids[9:].any()
    assert batch.lengths[9:].tolist() == [1, 1, 1]


def test_an_unknown_truncation_is_refused():
    split = TokenizedSplit.from_sequences([np.arange(40)], [0])
    with pytest.raises(ValueError, match="truncation"):
        batcher(split, 1, 4, "tail")


def test_a_batch_that_does_not_fit_is_refused():
    split = TokenizedSplit.from_sequences([np.arange(40)], [0])
    with pytest.raises(ValueError, match="width 32"):
        batcher(split, 2, 40, "head").make([0], 32)
    with pytest.raises(ValueError, match="batch of 1"):
        batcher(split, 1, 40, "head").make([0, 0], 64)
