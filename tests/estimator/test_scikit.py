"""The estimator of scikit-learn, and training in one call."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

from lstm_flax.errors import UserError
from lstm_flax.estimator.one_call import train_classifier
from lstm_flax.estimator.scikit import LSTMClassifier
from tests.conftest import templated_texts

# The brief run's, so that its program is compiled already.
SMALL: dict[str, Any] = {
    "data.bucket_widths": (64,),
    "data.lowercase": False,
    "tokenizer.kind": "word",
    "model.embedding_init": "normal",
    "model.embedding_size": 8,
    "model.ngram_order": 2,
    "model.embedding_dropout": 0.5,
    "optimizer.schedule": "constant",
}
RECORDS = templated_texts(100, seed=0)
TEXTS = [record["text"] for record in RECORDS]
LABELS = [record["label"] for record in RECORDS]


def small(**changes: Any) -> LSTMClassifier:
    values: dict[str, Any] = {
        "epochs": 1,
        "learning_rate": 0.02,
        "hidden_size": 8,
        "max_length": 64,
        "vocab_size": 64,
        "batch_size": 16,
        "fields": SMALL,
    }
    return LSTMClassifier(**values | changes)


@pytest.fixture(scope="module")
def fitted() -> LSTMClassifier:
    return small().fit(np.array(TEXTS), np.array(LABELS))


# scikit-learn's own checks that need no table of numbers; of the others, the same for texts below.
APPLY = [
    checks.check_estimator_cloneable,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_parameters_default_constructible,
    checks.check_mixin_order,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_estimators_unfitted,
]


@pytest.mark.parametrize("check", APPLY, ids=lambda check: check.__name__)
def test_scikit_learn_s_own_checks(check: Callable[[str, Any], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        check("LSTMClassifier", LSTMClassifier())


def test_fitting_changes_no_parameter_and_returns_itself(fitted: LSTMClassifier) -> None:
    assert isinstance(fitted, LSTMClassifier)
    assert fitted.get_params() == small().get_params()
    assert fitted.classes_.tolist() == ["neg", "pos"]
    learnt = {name for name in vars(fitted) if name.endswith("_")}
    assert learnt == {"classes_", "predictor_"}


def test_probabilities_are_in_the_order_of_the_classes(fitted: LSTMClassifier) -> None:
    probabilities = fitted.predict_proba(TEXTS)
    assert probabilities.shape == (100, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    right = np.array(LABELS) == fitted.classes_[probabilities.argmax(axis=1)]
    assert fitted.score(TEXTS, LABELS) == right.mean() > 0.9
    order = np.random.default_rng(0).permutation(100)
    shuffled = fitted.predict_proba([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, probabilities[order], atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(TEXTS[:3]), probabilities[:3], atol=1e-6)


def test_pickles_and_clones(fitted: LSTMClassifier) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(TEXTS)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (TEXTS, LABELS[:-1], "100 texts but 99 labels"),
        (TEXTS, ["pos"] * 100, "every label is 'pos'"),
        (TEXTS, np.linspace(0, 1, 100), "continuous"),
        ("a text", "b", r"fit takes a list of texts"),
        ([b"a film", b"dull"], [0, 1], r"texts\[0\] is bytes"),
        ([["a film"], ["dull"]], [0, 1], r"texts\[0\] is list"),
        (TEXTS, None, "fit takes a list of labels, not NoneType"),
        ({"text": TEXTS}, LABELS, "not a dict of 'text'"),
    ],
)
def test_what_cannot_be_learnt_from(texts: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(texts, labels)


def test_a_field_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match=r"did you mean config\.model\.hidden_size"):
        small(fields={"model.hiden_size": 3}).fit(TEXTS, LABELS)


def test_a_data_frame_in_one_call(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": range(100), "mood": LABELS, "body": TEXTS})
    with pytest.raises(UserError, match="no column 'text'; there are 'id', 'mood', 'body'"):
        train_classifier(frame, text_column="text")
    with pytest.raises(UserError, match="or a data frame; give the labels"):
        train_classifier(TEXTS)
    fields = {
        "training.epochs": 1,
        "optimizer.learning_rate": 0.02,
        "model.hidden_size": 8,
        "data.max_length": 64,
        "tokenizer.vocab_size": 64,
        "data.batch_size": 16,
    }
    predictor = train_classifier(frame, workdir=tmp_path / "run", fields=SMALL | fields)
    answers = predictor.predict(frame["body"])
    assert np.mean([a.label == label for a, label in zip(answers, LABELS, strict=True)]) > 0.9
    with pytest.raises(UserError, match="holds a run on other texts"):
        train_classifier(TEXTS[:50], LABELS[:50], tmp_path / "run", fields=SMALL | fields)


@pytest.mark.slow
def test_labels_of_any_kind_come_back_as_they_were() -> None:
    for labels in (
        [label == "pos" for label in LABELS],
        [7 if la == "pos" else -3 for la in LABELS],
    ):
        model = small().fit(TEXTS, labels)
        assert model.classes_.dtype == np.asarray(labels).dtype
        assert model.score(TEXTS, labels) > 0.9


@pytest.mark.slow
def test_searches_scores_and_pipelines() -> None:
    grid = {"epochs": [1, 2], "random_state": [0, 1]}
    search = GridSearchCV(small(), grid, cv=2).fit(TEXTS, LABELS)
    assert set(search.best_params_) == set(grid)
    assert search.best_score_ > 0.8
    assert len(cross_val_score(small(), np.array(TEXTS, object), LABELS, cv=2)) == 2
    shout = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = Pipeline([("shout", shout), ("classify", small())]).fit(TEXTS, LABELS)
    pipeline.set_params(classify__epochs=2)
    assert pipeline.score(TEXTS, LABELS) > 0.8


@pytest.mark.slow
def test_fitting_again_gives_the_same() -> None:
    first, second = (small(random_state=3).fit(TEXTS, LABELS).predict_proba(TEXTS) for _ in "ab")
    np.testing.assert_array_equal(first, second)
