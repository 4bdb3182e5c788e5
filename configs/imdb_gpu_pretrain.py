"""Language models of IMDB's training and unlabelled reviews for a GPU, forward and backward.

    python train.py --config=configs/imdb_gpu_pretrain.py --workdir=runs/imdb_gpu_pretrain

Not run yet. 512 hidden units per direction as in Sachan et al. (2019), 256 embedding units as in
Miyato et al. (2017); ten epochs, while `imdb_pretrain.py` has two with a model half as wide.
Calculated: 23,600 steps, 6e15 operations. `benchmarks/gpu_accuracy.py` runs this and what follows.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb_pretrain.py`, wider and longer, with the dropout that several epochs need."""
    config = load_config("imdb_pretrain", [])
    config.model.embedding_size = 256
    config.model.hidden_size = 512
    config.model.embedding_dropout = 0.2
    config.model.head_dropout = 0.2
    config.language_model.weight_drop = 0.2
    config.language_model.softmax_samples = 4096
    config.optimizer.learning_rate = 3e-3
    config.training.epochs = 10
    config.training.checkpoint_interval = 2000
    return config
