import numpy as np
import pytest

from lstm_flax.data.sources.imdb_films import film_groups, film_table
from lstm_flax.data.splits import cut, draw_balanced
from lstm_flax.errors import UserError


def random_groups(rng, examples, groups):
    values = rng.integers(0, 2**64, size=groups, dtype=np.uint64)
    return values[rng.integers(0, groups, size=examples)]


@pytest.mark.parametrize("stratify", [True, False])
def test_parts_are_disjoint_by_group_and_complete(stratify):
    rng = np.random.default_rng(0)
    for seed in range(20):
        groups = random_groups(rng, 1000, 300)
        labels = rng.integers(0, 4, size=1000)
        parts = cut(groups, labels, 0.1, 0.2, seed, stratify)
        together = np.sort(np.concatenate(list(parts.values())))
        np.testing.assert_array_equal(together, np.arange(1000))
        sides = [set(groups[part].tolist()) for part in parts.values()]
        assert sum(map(len, sides)) == len(set().union(*sides))
        assert abs(len(parts["development"]) - 100) <= 25
        assert abs(len(parts["test"]) - 200) <= 25


def test_sides_do_not_depend_on_the_order_of_the_examples():
    rng = np.random.default_rng(1)
    groups, labels = random_groups(rng, 500, 400), rng.integers(0, 2, size=500)
    order = rng.permutation(500)
    here = cut(groups, labels, 0.1, 0.1, 7, stratify=True)
    there = cut(groups[order], labels[order], 0.1, 0.1, 7, stratify=True)
    for name, part in here.items():
        np.testing.assert_array_equal(np.sort(order[there[name]]), part)


def test_one_fraction_does_not_move_the_other_part():
    rng = np.random.default_rng(2)
    groups, labels = random_groups(rng, 500, 500), rng.integers(0, 2, size=500)
    a = cut(groups, labels, 0.1, 0.1, 0, stratify=True)
    b = cut(groups, labels, 0.3, 0.1, 0, stratify=True)
    np.testing.assert_array_equal(a["test"], b["test"])
    assert set(a["development"]) < set(b["development"])
    other = cut(groups, labels, 0.1, 0.1, 1, stratify=True)
    assert set(other["test"]) != set(a["test"])


def test_stratified_labels_stay_in_proportion_and_rare_ones_in_training():
    groups = np.arange(1001, dtype=np.uint64)
    labels = np.array([0] * 800 + [1] * 200 + [2])
    parts = cut(groups, labels, 0.1, 0.1, 0, stratify=True)
    assert np.bincount(labels[parts["test"]]).tolist() == [80, 20]
    assert np.bincount(labels[parts["development"]]).tolist() == [80, 20]
    assert 1000 in parts["train"]


def test_too_few_examples_to_cut():
    with pytest.raises(UserError, match=r"test_fraction = 0.1: 4 examples are too few"):
        cut(np.arange(4, dtype=np.uint64), np.array([0, 1, 0, 1]), 0.0, 0.1, 0, stratify=True)


def test_a_label_for_every_text_is_taken_for_the_wrong_column():
    with pytest.raises(UserError, match=r"distinct texts: 40.*another column"):
        cut(np.arange(40, dtype=np.uint64), np.arange(40), 0.1, 0.1, 0, stratify=True)


def test_film_table_holds_what_is_known_of_imdb():
    table = film_table()
    assert len(table.hashes) == len(table.films) > 24_800
    assert (np.diff(table.hashes.astype(object)) > 0).all()
    assert 3_400 < len(np.unique(table.films)) <= 3_456
    assert len(table.test_in_train) == 123
    assert np.isin(table.test_in_train, table.hashes).all()
    assert 260 < len(table.unsupervised_in_test) <= 270


def test_unknown_texts_are_their_own_film():
    table = film_table()
    unknown = np.array([0, 2**64 - 1], dtype=np.uint64)
    known = table.hashes[[5, 0, -1]]
    groups = film_groups(np.concatenate([known, unknown]))
    assert groups.tolist() == [*table.films[[5, 0, -1]].tolist(), 0, 2**64 - 1]


def test_a_draw_is_balanced_nested_and_knows_no_order():
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 2**64, size=300, dtype=np.uint64)
    labels = (np.arange(300) % 10 < 3).astype(int)  # 90 of one, 210 of the other
    few, more = (draw_balanced(hashes, labels, count, seed=5) for count in (100, 250))
    assert np.bincount(labels[few]).tolist() == [50, 50]
    assert np.bincount(labels[more]).tolist() == [160, 90]  # all there are
    assert set(few) <= set(more)
    shuffled = rng.permutation(300)
    again = draw_balanced(hashes[shuffled], labels[shuffled], 100, seed=5)
    assert set(hashes[shuffled][again]) == set(hashes[few])
    assert set(draw_balanced(hashes, labels, 100, seed=6)) != set(few)
