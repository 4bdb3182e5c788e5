"""F1, MCC and AUC: those of scikit-learn, and defined where it has none."""

import numpy as np
import pytest

from lstm_flax.evaluation.metrics import classification_metrics, confusion_scores, roc_auc
from lstm_flax.evaluation.tables import result_table

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_those_of_scikit_learn(classes: int, ties: bool) -> None:
    rng = np.random.default_rng(classes)
    labels = np.append(np.arange(classes), rng.integers(0, classes, 200)).astype(np.int32)
    logits = rng.normal(size=(len(labels), classes)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 1
    if ties:
        logits = logits.round()
    figures = classification_metrics(logits, labels)
    answers = logits.argmax(axis=1)
    for average in ("macro", "weighted"):
        expected = sklearn_metrics.f1_score(labels, answers, average=average)
        assert figures[f"{average}_f1"] == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.matthews_corrcoef(labels, answers)
    assert figures["mcc"] == pytest.approx(expected, abs=1e-12)
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    of = probabilities[:, 1] if classes == 2 else probabilities
    expected = sklearn_metrics.roc_auc_score(labels, of, multi_class="ovr", average="macro")
    assert roc_auc(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    assert figures["auc"] == pytest.approx(expected, abs=2e-3 if ties else 1e-12)


def test_labels_that_do_not_occur() -> None:
    # Nobody answers 2 and no text is 2: it counts in no mean. All answers alike: no correlation.
    confusion = np.array([[4, 0, 0], [2, 0, 0], [0, 0, 0]])
    assert confusion_scores(confusion) == {
        "macro_f1": pytest.approx((8 / 10) / 2),
        "weighted_f1": pytest.approx((8 / 10) * 4 / 6),
        "mcc": 0.0,
    }
    assert roc_auc(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([1, 1])) is None


def results(names: list[str], confusion: list[list[int]], auc: float | None) -> dict:
    return {
        "split": "test", "examples": 6, "accuracy": 0.5, "macro_f1": 0.25, "weighted_f1": 0.75,
        "mcc": -0.125, "auc": auc, "loss": 1.0, "calibrated_loss": 1.0, "temperature": 1.0,
        "calibration_error": 0.0, "calibrated_calibration_error": 0.0, "checkpoint_step": 3,
        "seconds": 1.0, "confusion": confusion, "label_names": names,
    }  # fmt: skip


def test_the_table_shows_the_scores_and_lines_up_wide_letters() -> None:
    lines = result_table(results(["肯定的", "no"], [[3, 1], [1, 1]], 0.5)).splitlines()
    assert any("25.00% macro, 75.00% weighted" in line for line in lines)
    assert any(line.split() == ["MCC", "-0.1250"] for line in lines)
    assert any(line.split() == ["AUC", "0.5000"] for line in lines)
    wide, narrow = (line for line in lines if line.strip().startswith(("肯", "no")))
    # Three of the letters take two columns each.
    assert wide.index("75.00%") + 3 == narrow.index("50.00%")


def test_results_of_an_older_version_are_still_shown() -> None:
    old = results(["a", "b"], [[3, 1], [1, 1]], None)
    assert "none, as a label does not occur" in result_table(old)
    for name in ("macro_f1", "weighted_f1", "mcc", "auc"):
        del old[name]
    assert "MCC" not in result_table(old)
