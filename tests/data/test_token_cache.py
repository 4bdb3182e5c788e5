"""Encoded splits on disk: what was written comes back, or is known to be damaged."""

import multiprocessing

import numpy as np
import pytest

from lstm_flax.data.token_cache import DamagedCacheError, read_split, write_split
from lstm_flax.text.tokenized import TokenizedSplit


def random_sequences(rng, count, vocab_size):
    return [rng.integers(1, vocab_size, size=rng.integers(1, 50)) for _ in range(count)]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.int32)])
def test_written_splits_come_back(tmp_path, vocab_size, dtype):
    rng = np.random.default_rng(0)
    sequences = [*random_sequences(rng, 30, vocab_size), np.array([vocab_size - 1])]
    labels = rng.integers(-1, 3, size=31)
    groups = rng.integers(0, 1 << 63, size=31, dtype=np.uint64)
    write_split(tmp_path / "train", sequences, labels, groups, vocab_size, "f")
    split = read_split(tmp_path / "train", "f")
    assert split.token_ids.dtype == dtype
    assert isinstance(split.token_ids, np.memmap)
    for found, expected in zip(split, sequences, strict=True):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(split[-1], sequences[-1])
    np.testing.assert_array_equal(split.labels, labels)
    np.testing.assert_array_equal(split.groups, groups)
    assert split.lengths.tolist() == [len(s) for s in sequences]
    assert [p.name for p in tmp_path.iterdir()] == ["train"]
    with pytest.raises(IndexError):
        split[31]


def test_concatenated_splits_hold_the_examples_of_all_in_order(tmp_path):
    rng = np.random.default_rng(0)
    sequences = random_sequences(rng, 12, 100)
    labels, groups = rng.integers(-1, 3, size=12), rng.integers(0, 9, size=12, dtype=np.uint64)
    parts = []
    for first, end in ((0, 5), (5, 6), (6, 12)):
        of_part = sequences[first:end], labels[first:end], groups[first:end]
        write_split(tmp_path / f"{first}", *of_part, vocab_size=100, fingerprint="f")
        parts.append(read_split(tmp_path / f"{first}"))
    whole = TokenizedSplit.concatenate(parts)
    for found, expected in zip(whole, sequences, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert whole.lengths.tolist() == [len(s) for s in sequences]
    assert whole.token_ids.dtype == parts[0].token_ids.dtype
    np.testing.assert_array_equal(whole.labels, labels)
    np.testing.assert_array_equal(whole.groups, groups)
    (one,) = TokenizedSplit.concatenate(parts[1:2])
    np.testing.assert_array_equal(one, sequences[5])


def test_other_fingerprint_is_no_split_and_is_replaced(tmp_path):
    write_split(tmp_path / "a", [np.array([4])], np.array([0]), np.array([0]), 9, "old")
    assert read_split(tmp_path / "a", "new") is None
    assert read_split(tmp_path / "none", "new") is None
    old = read_split(tmp_path / "a")
    write_split(tmp_path / "a", [np.array([5])], np.array([0]), np.array([0]), 9, "new")
    assert read_split(tmp_path / "a", "new")[0].tolist() == [5]
    assert old[0].tolist() == [4]  # an open memory map outlives the replacement


@pytest.mark.parametrize("name", ["token_ids.npy", "offsets.npy", "labels.npy", "split.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_noticed(tmp_path, name, damage):
    write_split(tmp_path / "a", [np.array([4, 5])] * 9, np.zeros(9), np.zeros(9), 9, "f")
    path = tmp_path / "a" / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[-1] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-2])
    with pytest.raises(DamagedCacheError):
        read_split(tmp_path / "a", "f")


def write_many(folder, value):
    for i in range(20):
        sequences = [np.full(1000, value)] * 20
        write_split(folder, sequences, np.zeros(20), np.zeros(20), 9, f"{value}-{i}")


def test_concurrent_writers_never_show_half_a_split(tmp_path):
    write_many(tmp_path / "a", 3)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path / "a", v)) for v in (4, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        try:
            split = read_split(tmp_path / "a")
        except DamagedCacheError:
            continue  # opened just as it was swapped: its files are of two writers
        assert split is None or len(set(np.asarray(split.token_ids).tolist())) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(read_split(tmp_path / "a")) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_same_split_written_twice_stays_in_place(tmp_path):
    write_split(tmp_path / "a", [np.array([4])], np.array([0]), np.array([0]), 9, "f")
    before = (tmp_path / "a").stat().st_ino
    write_split(tmp_path / "a", [np.array([4])], np.array([0]), np.array([0]), 9, "f")
    assert (tmp_path / "a").stat().st_ino == before
