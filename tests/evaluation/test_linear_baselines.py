"""The linear models to compare with: they learn, and select without the test part."""

import numpy as np
import pytest

from lstm_flax.data.examples import Examples
from lstm_flax.evaluation.linear_baselines import NaiveBayesSvm, comparison_table, score_baselines
from tests.conftest import templated_texts

sklearn = pytest.importorskip("sklearn", reason="the baselines need scikit-learn")


def examples(count: int, seed: int) -> Examples:
    records = templated_texts(count, seed)
    labels = np.array([("neg", "pos").index(record["label"]) for record in records], np.int32)
    ids = [str(i) for i in range(count)]
    return Examples([record["text"] for record in records], labels, ids, ("neg", "pos"))


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_both_learn_what_words_tell(analyzer: str) -> None:
    scores = score_baselines(examples(200, 0), examples(60, 1), examples(60, 2), analyzer)
    assert set(scores) == {"tfidf", "nbsvm"}
    for figures in scores.values():
        assert figures["accuracy"] > 0.9
    assert "NB-SVM" in comparison_table(scores, [("mine", 0.5)])
    assert "50.00%" in comparison_table(scores, [("mine", 0.5)])


def test_the_strength_is_selected_on_the_development_part_alone() -> None:
    train, development, test = examples(120, 0), examples(60, 1), examples(60, 2)
    upside_down = Examples(test.texts, 1 - test.labels, test.ids, test.label_names)
    straight = score_baselines(train, development, test, "word")
    turned = score_baselines(train, development, upside_down, "word")
    for name in straight:
        assert straight[name]["C"] == turned[name]["C"]
        assert straight[name]["accuracy"] == pytest.approx(1 - turned[name]["accuracy"])


def test_three_classes() -> None:
    """Class c is told by feature c, so that one machine against the rest suffices."""
    import scipy.sparse

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300).astype(np.int32)
    features = rng.random((300, 12)) < 0.3
    features[:, :3] = np.eye(3, dtype=bool)[labels]
    counts = scipy.sparse.csr_matrix(features.astype(np.float64))
    assert NaiveBayesSvm(0.1).fit(counts[:200], labels[:200]).score(counts[200:], labels[200:]) == 1
