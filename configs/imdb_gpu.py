r"""IMDB sentiment on a GPU: the language models, then virtual adversarial training.

    python train.py --config=configs/imdb_gpu.py --workdir=runs/imdb_gpu \
        --config.init_from=runs/imdb_gpu_pretrain

Not run yet. Every batch takes 192 unlabelled reviews along with 64 labelled ones: their answers
must neither change under the worst small change of the embeddings (Miyato et al. 2017, weight 1,
epsilon 5) nor stay undecided (Sachan et al. 2019, weight 1). By arithmetic: 3,540 steps, 1.4e16
operations. `benchmarks/gpu_accuracy.py` runs three of these and all that goes with them.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """As `imdb_finetune.py`, in the shapes of `imdb_gpu_pretrain.py`, and without n-gram ratios.

    A random matrix of ratios beside the embeddings would bring the language models inputs that they
    have never seen, and no perturbation reaches them.
    """
    config = load_config("imdb_finetune", [])
    config.init_from = "runs/imdb_gpu_pretrain"
    config.data.max_length = 512
    config.data.unlabelled_batch_size = 192
    config.model.embedding_size = 256
    config.model.hidden_size = 512
    config.model.ngram_order = 0
    config.model.embedding_dropout = 0.5
    config.optimizer.learning_rate = 1e-3
    config.optimizer.layer_decay = 1.0
    config.training.virtual_adversarial_weight = 1.0
    config.training.entropy_weight = 1.0
    config.training.epochs = 10
    config.training.ema_decay = 0.999
    config.training.checkpoint_interval = 500
    return config
