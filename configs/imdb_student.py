r"""IMDB sentiment, self-trained: `imdb.py` with pseudo-labels from three of its runs.

    for seed in 0 1 2; do
      python train.py --config=configs/imdb.py --workdir=runs/imdb-$seed \
          --config.training.seed=$seed --split=development
    done
    lstm-flax predict --workdir=runs/imdb-0 --workdir=runs/imdb-1 --workdir=runs/imdb-2 \
        --split=unsupervised > runs/imdb_pseudo_labels.jsonl
    python train.py --config=configs/imdb_student.py --workdir=runs/imdb_student

The first three runs are scored on their development part, so the test split is opened only once, at
the end.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb.py` with 49,730 more texts per epoch."""
    config = load_config("imdb", [])
    config.data.extra_train_path = "runs/imdb_pseudo_labels.jsonl"
    config.data.use_unlabelled = False
    config.model.dtype = "float32"
    return config
