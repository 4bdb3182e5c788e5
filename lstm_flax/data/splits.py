"""Cuts development and test parts off the training examples.

Examples are cut in groups that must stay together: the reviews of one film, or equal texts. The
part that a group goes to depends on the seed and the groups, not on the order of the examples.
"""

import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.text.hashing import mix


def cut(
    groups: np.ndarray,
    labels: np.ndarray,
    development_fraction: float,
    test_fraction: float,
    seed: int,
    stratify: bool,
) -> dict[str, np.ndarray]:
    """Divides examples into three parts.

    The test part is taken from one end of a random order of the groups and the development part
    from the other, so neither fraction affects the other part.

    Args:
        groups: u64[N], a number for the film or text of each example.
        labels: i[N].
        development_fraction: fraction of all examples; 0 for an empty part.
        test_fraction: likewise.
        seed: seed of the random order.
        stratify: True cuts each label's groups separately, so each part has every label in
            proportion. A group counts under the smallest label in it.

    Returns:
        `train`, `development` and `test`: i64 indices in ascending order.

    Raises:
        UserError: a requested part would be empty, or nothing would be left to train on.

    >>> parts = cut(np.arange(10, dtype=np.uint64), np.zeros(10, int), 0.2, 0.3, 0, stratify=True)
    >>> [len(parts[name]) for name in ("train", "development", "test")]
    [5, 2, 3]
    """
    unique, first_label, sizes, group_of = _group(groups, labels)
    side = np.zeros(len(unique), dtype=np.int8)  # 0 train, 1 development, 2 test
    strata = np.unique(first_label) if stratify else [None]
    for label in strata:
        members = np.arange(len(unique)) if label is None else np.flatnonzero(first_label == label)
        members = members[np.argsort(mix(unique[members], seed), kind="stable")]
        heads = _nearest_prefix(sizes[members], test_fraction)
        tails = _nearest_prefix(sizes[members[::-1]], development_fraction)
        # A label with few examples stays in the training part first.
        heads = min(heads, len(members) - 1)
        tails = min(tails, len(members) - 1 - heads)
        side[members[:heads]] = 2
        side[members[len(members) - tails :]] = 1
    parts = {
        name: np.flatnonzero(side[group_of] == number)
        for number, name in enumerate(("train", "development", "test"))
    }
    fractions = {"development": development_fraction, "test": test_fraction}
    for name, fraction in fractions.items():
        if fraction > 0 and len(parts[name]) == 0:
            if 2 * len(strata) > len(unique):
                raise UserError(
                    f"{len(labels):,} examples of {len(np.unique(labels)):,} labels leave no "
                    f"{name} part (distinct texts: {len(unique):,}); give each label several texts "
                    "(or is the label in another column?)"
                )
            raise UserError(
                f"config.data.{name}_fraction = {fraction:g}: {len(labels)} examples are too few "
                f"to cut a {name} part off; raise it, or name a file in config.data.{name}_path"
            )
    return parts


def draw_balanced(hashes: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws examples, balanced across labels as far as possible.

    >>> draw_balanced(np.arange(8, dtype=np.uint64), np.array([0] * 6 + [1] * 2), 6, seed=0)
    array([0, 1, 3, 4, 6, 7])

    Args:
        hashes: u64[N], hashes of the texts: they decide, not the order of the examples.
        labels: i[N].
        count: number of examples to draw, at most N.
        seed: seed of the draw. A larger count draws the same examples and more.

    Returns:
        i64[count] indices in ascending order.
    """
    order = np.argsort(mix(hashes, seed), kind="stable")
    turn = np.empty(len(labels), np.int64)  # an example's position among those of its label
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turn[order], kind="stable")[:count]])


def _group(
    groups: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns distinct groups, the smallest label and size of each, and each example's group."""
    unique, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    first_label = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(first_label, group_of, labels)
    return unique, first_label, sizes, group_of


def _nearest_prefix(sizes: np.ndarray, fraction: float) -> int:
    """Returns how many groups, from the front, come nearest to a fraction of all examples.

    >>> _nearest_prefix(np.array([3, 3, 4]), 0.5)
    2
    """
    totals = np.concatenate([[0], np.cumsum(sizes)])
    return int(np.argmin(np.abs(totals - fraction * totals[-1])))
