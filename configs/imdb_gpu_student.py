r"""IMDB sentiment on a GPU, self-trained: what three runs of `imdb_gpu.py` say together.

    for seed in 0 1 2; do
      python train.py --config=configs/imdb_gpu.py --workdir=runs/imdb_gpu-$seed \
          --config.training.seed=$seed --split=development
    done
    python train.py --config=configs/imdb_gpu_student.py --workdir=runs/imdb_gpu_student

Not run yet. The 49,730 unlabelled reviews join the labelled ones, five epochs of both. By
arithmetic: 2,840 steps, 6e15 operations. `benchmarks/gpu_accuracy.py` runs all of this.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """As `imdb_gpu.py`; virtual adversarial training, on the texts of the batch itself."""
    config = load_config("imdb_gpu", [])
    config.data.batch_size = 128
    config.data.unlabelled_batch_size = 0
    config.training.teachers = "runs/imdb_gpu-0,runs/imdb_gpu-1,runs/imdb_gpu-2"
    config.training.entropy_weight = 0.0
    config.training.epochs = 5
    return config
