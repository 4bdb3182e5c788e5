r"""IMDB sentiment on a GPU, self-trained: pseudo-labels from three runs of `imdb_gpu.py`.

    for seed in 0 1 2; do
      python train.py --config=configs/imdb_gpu.py --workdir=runs/imdb_gpu-$seed \
          --config.training.seed=$seed --split=development
    done
    lstm-flax predict --workdir=runs/imdb_gpu-0 --workdir=runs/imdb_gpu-1 \
        --workdir=runs/imdb_gpu-2 --split=unsupervised > runs/imdb_gpu_pseudo_labels.jsonl
    python train.py --config=configs/imdb_gpu_student.py --workdir=runs/imdb_gpu_student

Not run yet. The 49,730 unlabelled reviews join the labelled ones, for five epochs over both.
Calculated: 2,840 steps, 6e15 operations. `benchmarks/gpu_accuracy.py` runs all of this.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb_gpu.py`, with virtual adversarial training on the batch's own texts."""
    config = load_config("imdb_gpu", [])
    config.data.batch_size = 128
    config.data.extra_train_path = "runs/imdb_gpu_pseudo_labels.jsonl"
    config.data.use_unlabelled = False
    config.training.epochs = 5
    config.recipes.adversarial.entropy_weight = 0.0
    config.recipes.unlabelled = None
    return config
