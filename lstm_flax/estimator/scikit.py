"""The classifier as a scikit-learn estimator; needs scikit-learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax.data.examples import column_of
from lstm_flax.errors import UserError
from lstm_flax.estimator.one_call import train_classifier
from lstm_flax.inference.predictor import Predictor

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise UserError("LSTMClassifier needs scikit-learn; pip install scikit-learn") from error

_FIELDS = {
    "epochs": "training.epochs",
    "learning_rate": "optimizer.learning_rate",
    "hidden_size": "model.hidden_size",
    "max_length": "data.max_length",
    "vocab_size": "tokenizer.vocab_size",
    "batch_size": "data.batch_size",
}


class LSTMClassifier(ClassifierMixin, BaseEstimator):
    """An LSTM text classifier with the interface of scikit-learn: texts in, labels out.

    Arguments that are None are chosen from the texts. Pickles hold weights and text encoder as
    plain bytes.

    >>> model = LSTMClassifier(epochs=3).fit(texts, labels)  # doctest: +SKIP
    >>> model.predict(["A fine film."])  # doctest: +SKIP
    array(['pos'], dtype='<U3')

    Args:
        epochs: passes over the texts.
        learning_rate: the peak rate.
        hidden_size: of one direction of the LSTM.
        max_length: number of a text's tokens that the model sees.
        vocab_size: the largest vocabulary.
        batch_size: texts per step.
        fields: other fields of the configuration, for example `{"model.dropout": 0.3}`.
        random_state: seed of weights, dropout and order: a number, a `RandomState`, or None.
        workdir: folder to keep the run in; None uses a temporary folder.
        verbose: True to draw bars and print the development scores.

    Attributes:
        classes_: the labels, sorted.
        predictor_: the trained `Predictor`.
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        learning_rate: float | None = None,
        hidden_size: int | None = None,
        max_length: int | None = None,
        vocab_size: int | None = None,
        batch_size: int | None = None,
        fields: Mapping[str, Any] | None = None,
        random_state: Any = 0,
        workdir: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.hidden_size = hidden_size
        self.max_length = max_length
        self.vocab_size = vocab_size
        self.batch_size = batch_size
        self.fields = fields
        self.random_state = random_state
        self.workdir = workdir
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any) -> "LSTMClassifier":
        """Trains on N texts and their labels.

        Args:
            X: texts: a list, an array or a column.
            y: labels, likewise: strings, integers or booleans.

        Raises:
            ValueError: the texts are not a list of texts, there is only one label, or the labels
                are numbers as for regression.
        """
        texts = list(column_of(X, "fit"))
        labels = np.asarray(list(column_of(y, "fit", "labels")))
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        names = _names(classes)
        chosen = {path: getattr(self, name) for name, path in _FIELDS.items()}
        fields = {path: value for path, value in chosen.items() if value is not None}
        self.predictor_ = train_classifier(
            texts,
            [names[number] for number in numbers],
            self.workdir,
            fields={"training.seed": self._seed()} | fields | dict(self.fields or {}),
            show_progress=self.verbose,
        )
        self.classes_ = classes
        self._column_of = [self.predictor_.label_names.index(name) for name in names]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Computes calibrated probabilities, f64[N, C], in the order of `classes_`."""
        check_is_fitted(self, "predictor_")
        predictor: Predictor = self.predictor_
        answers = predictor.predict(X)
        rows = [list(answer.probabilities.values()) for answer in answers]
        probabilities = np.array(rows, dtype=np.float64).reshape(-1, len(self.classes_))
        probabilities = probabilities[:, self._column_of]
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Returns the most probable label of each of N texts."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def _seed(self) -> int:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return int(self.random_state or 0)
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def _names(classes: np.ndarray) -> list[str]:
    """Returns a name for each class; its number if its own name is not usable."""
    names = [str(name) for name in classes]
    fit = all(name == name.strip() and name for name in names)
    if fit and len(set(names)) == len(names):
        return names
    return [str(number) for number in range(len(names))]
