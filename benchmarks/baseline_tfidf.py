"""TF-IDF and logistic regression on the very split of a configuration, to stand beside an LSTM.

    pip install scikit-learn
    python benchmarks/baseline_tfidf.py --config=sentences
    python benchmarks/baseline_tfidf.py --config=chinese --analyzer=char

Words: 1- and 2-grams. Characters: 1- to 3-grams, for scripts without spaces. Trains on the training
part alone, as the LSTM does, with scikit-learn's default strength of regularisation; prints one
JSON object. Flags such as `--config.data.train_path=mine.csv` change the configuration.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from lstm_flax.cli import load_config
from lstm_flax.config import Config
from lstm_flax.data.examples import load_examples
from lstm_flax.data.labelled import Examples

_NGRAMS = {"word": (1, 2), "char": (1, 3)}


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line, prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--config", required=True, help="as for `lstm-flax train`")
    parser.add_argument("--analyzer", choices=_NGRAMS, default="word")
    arguments, overrides = parser.parse_known_args(argv)
    config = Config.from_config_dict(load_config(arguments.config, overrides))
    train = load_examples(config.data, "train")
    test = load_examples(config.data, "test")
    print(json.dumps(score_baseline(train, test, arguments.analyzer)))


def score_baseline(train: Examples, test: Examples, analyzer: str) -> dict[str, Any]:
    """Fits on one split and scores on the other.

    Args:
        train: labelled texts to fit on.
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
    classifier = LogisticRegression(max_iter=1000).fit(features, train.labels)
    accuracy = float(classifier.score(vectorizer.transform(test.texts), test.labels))
    return {
        "accuracy": accuracy,
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
