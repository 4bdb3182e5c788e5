"""Linear models on exactly the splits of a configuration: the baselines for an LSTM to beat.

- `tfidf`: TF-IDF and logistic regression;
- `nbsvm`: naive-Bayes log-count ratios and a linear support vector machine (Wang & Manning 2012).

Both are fitted on the training part alone; the development part selects the regularisation
strength, as it selects the epoch of an LSTM. Needs scikit-learn (the `baselines` extra).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from lstm_flax.data.examples import Examples
from lstm_flax.errors import UserError
from lstm_flax.text.script import has_no_spaces

# n-grams of words (including "a" and "I") and signs; of characters for scripts without spaces.
_NGRAMS: dict[str, dict[str, Any]] = {
    "word": {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]"},
    "char": {"analyzer": "char", "ngram_range": (1, 3)},
}
# Strengths C to select from, including scikit-learn's default.
_TFIDF_STRENGTHS = (1.0, 10.0, 100.0)
_NBSVM_STRENGTHS = (0.003, 0.01, 0.03, 0.1)


def analyzer_for(texts: Sequence[str]) -> str:
    """Returns `char` for texts in scripts without spaces between words, else `word`.

    >>> analyzer_for(["a fine film"]), analyzer_for(["一部好电影"])
    ('word', 'char')
    """
    return "char" if has_no_spaces(texts) else "word"


def score_baselines(
    train: Examples, development: Examples | None, test: Examples, analyzer: str
) -> dict[str, dict[str, Any]]:
    """Fits on the first split, selects on the second, scores on the third.

    Args:
        train: labelled texts to fit on.
        development: labelled texts to select the strength on; None takes the middle strength.
        test: labelled texts to score.
        analyzer: `word` or `char`, the units of the n-grams.

    Returns:
        For each of `tfidf` and `nbsvm`: `accuracy`, `development_accuracy`, the strength `C`, the
        number of `features` and the `seconds` it took.

    Raises:
        UserError: scikit-learn is not installed.
    """
    _text_module()
    return {
        name: _score(fit, train, development, test, analyzer)
        for name, fit in {"tfidf": _fit_tfidf, "nbsvm": _fit_nbsvm}.items()
    }


def _score(
    fit: Callable[[Examples, str], tuple[dict[float, Any], Any]],
    train: Examples,
    development: Examples | None,
    test: Examples,
    analyzer: str,
) -> dict[str, Any]:
    start = time.perf_counter()
    models, featurize = fit(train, analyzer)
    chosen, best = list(models)[len(models) // 2], None
    if development is not None:
        held_out = featurize(development.texts)
        scores = {c: float(m.score(held_out, development.labels)) for c, m in models.items()}
        chosen = max(scores, key=scores.__getitem__)
        best = scores[chosen]
    features = featurize(test.texts)
    return {
        "accuracy": float(models[chosen].score(features, test.labels)),
        "development_accuracy": best,
        "C": chosen,
        "features": features.shape[1],
        "seconds": round(time.perf_counter() - start, 1),
    }


def _fit_tfidf(train: Examples, analyzer: str) -> tuple[dict[float, Any], Any]:
    from sklearn.linear_model import LogisticRegression

    vectorizer = _text_module().TfidfVectorizer(min_df=2, sublinear_tf=True, **_NGRAMS[analyzer])
    try:
        features = vectorizer.fit_transform(train.texts)
    except ValueError as error:
        raise UserError(f"no two training texts share a {analyzer}: nothing to learn") from error
    models = {
        c: LogisticRegression(C=c, max_iter=1000).fit(features, train.labels)
        for c in _TFIDF_STRENGTHS
    }
    return models, vectorizer.transform


def _fit_nbsvm(train: Examples, analyzer: str) -> tuple[dict[float, Any], Any]:
    vectorizer = _text_module().CountVectorizer(binary=True, **_NGRAMS[analyzer])
    features = vectorizer.fit_transform(train.texts)
    models = {c: NaiveBayesSvm(c).fit(features, train.labels) for c in _NBSVM_STRENGTHS}
    return models, vectorizer.transform


class NaiveBayesSvm:
    """A linear SVM on features replaced by their log-count ratios; one class against the rest.

    Attributes:
        strength: C of the support vector machine.
    """

    def __init__(self, strength: float) -> None:
        """Stores the regularisation strength, C."""
        self.strength = strength
        self._ratios: list[np.ndarray] = []
        self._machines: list[Any] = []

    def fit(self, features: scipy.sparse.csr_matrix, labels: np.ndarray) -> "NaiveBayesSvm":
        """Fits to binary counts [N, features] and i32[N] labels."""
        from sklearn.svm import LinearSVC

        classes = int(labels.max()) + 1
        for c in range(1, 2) if classes == 2 else range(classes):
            own = labels == c
            p, q = (1 + np.asarray(features[rows].sum(axis=0)).ravel() for rows in (own, ~own))
            ratio = np.log((p / p.sum()) / (q / q.sum()))
            machine = LinearSVC(C=self.strength, random_state=0)
            self._machines.append(machine.fit(features.multiply(ratio).tocsr(), own))
            self._ratios.append(ratio)
        return self

    def score(self, features: scipy.sparse.csr_matrix, labels: np.ndarray) -> float:
        """Returns the accuracy on binary counts [N, features] and i32[N] labels."""
        margins = np.stack(
            [
                machine.decision_function(features.multiply(ratio).tocsr())
                for machine, ratio in zip(self._machines, self._ratios, strict=True)
            ],
            axis=1,
        )
        predicted = margins[:, 0] > 0 if margins.shape[1] == 1 else margins.argmax(axis=1)
        return float((predicted == labels).mean())


def _text_module() -> Any:
    try:
        import sklearn.feature_extraction.text as text
    except ImportError as error:
        raise UserError("the baselines need scikit-learn; pip install scikit-learn") from error
    return text


def comparison_table(
    scores: dict[str, dict[str, Any]], beside: Sequence[tuple[str, float]] = ()
) -> str:
    """Formats accuracies, one per line, followed by those of other models, (name, accuracy)."""
    names = {"tfidf": "TF-IDF + logistic regression", "nbsvm": "NB-SVM"}
    lines = [(names[name], metrics["accuracy"]) for name, metrics in scores.items()] + list(beside)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:<{width}}  {accuracy:.2%}" for name, accuracy in lines)
