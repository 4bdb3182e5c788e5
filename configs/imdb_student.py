r"""IMDB sentiment, self-trained: `imdb.py` on the labels that its runs give to unlabelled reviews.

    for seed in 0 1 2; do
      python train.py --config=configs/imdb.py --workdir=runs/imdb-$seed \
          --config.training.seed=$seed --split=development
    done
    python train.py --config=configs/imdb_student.py --workdir=runs/imdb_student

The teachers are scored on their development part, so that the test split is opened once, at the
end.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """As `imdb.py`, with 50,000 more texts an epoch."""
    config = load_config("imdb", [])
    config.training.teachers = "runs/imdb-0,runs/imdb-1,runs/imdb-2"
    return config
