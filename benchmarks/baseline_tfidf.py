"""TF-IDF and logistic regression on the very split of a configuration, to stand beside an LSTM.

    pip install scikit-learn
    python benchmarks/baseline_tfidf.py --config=sentences
    python benchmarks/baseline_tfidf.py --config=chinese --analyzer=char

Words: 1- and 2-grams. Characters: 1- to 3-grams, for scripts without spaces. Trains on the training
part alone; the development part selects the strength of regularisation, as it selects the epoch of
an LSTM. Prints one JSON object. Flags such as `--config.data.train_path=mine.csv` change the
configuration.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from lstm_flax.config import Config
from lstm_flax.config_files import load_config
from lstm_flax.data.examples import load_examples
from lstm_flax.data.labelled import Examples

_NGRAMS = {"word": (1, 2), "char": (1, 3)}
_STRENGTHS = (1.0, 10.0, 100.0)  # C of scikit-learn; the first is its default


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line, prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--config", required=True, help="as for `lstm-flax train`")
    parser.add_argument("--analyzer", choices=_NGRAMS, default="word")
    arguments, overrides = parser.parse_known_args(argv)
    config = Config.from_config_dict(load_config(arguments.config, overrides))
    train = load_examples(config.data, "train")
    development = load_examples(config.data, "development")
    test = load_examples(config.data, "test")
    print(json.dumps(score_baseline(train, development, test, arguments.analyzer)))


def score_baseline(
    train: Examples, development: Examples, test: Examples, analyzer: str
) -> dict[str, Any]:
    """Fits on the first split, selects on the second, scores on the third.

    Args:
        train: labelled texts to fit on.
        development: labelled texts to select the regularisation by.
        test: labelled texts to score.
        analyzer: `word` or `char`.

    Returns:
        Accuracy, sizes, seconds and what it was made with.
    """
    start = time.perf_counter()
    vectorizer = TfidfVectorizer(
        analyzer=analyzer, ngram_range=_NGRAMS[analyzer], min_df=2, sublinear_tf=True
    )
    features = vectorizer.fit_transform(train.texts)
    candidates = [
        LogisticRegression(C=c, max_iter=1000).fit(features, train.labels) for c in _STRENGTHS
    ]
    held_out = vectorizer.transform(development.texts)
    scores = [float(model.score(held_out, development.labels)) for model in candidates]
    chosen = max(range(len(scores)), key=scores.__getitem__)
    test_features = vectorizer.transform(test.texts)
    return {
        "accuracy": float(candidates[chosen].score(test_features, test.labels)),
        "development_accuracy": scores[chosen],
        "C": _STRENGTHS[chosen],
        "classes": len(train.label_names),
        "train_examples": len(train),
        "test_examples": len(test),
        "features": features.shape[1],
        "analyzer": analyzer,
        "ngrams": list(_NGRAMS[analyzer]),
        "seconds": round(time.perf_counter() - start, 1),
        "scikit_learn": sklearn.__version__,
    }


if __name__ == "__main__":
    main()
