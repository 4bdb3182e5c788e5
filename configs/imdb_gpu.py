r"""IMDB sentiment on a GPU: the language models, then virtual adversarial training.

    python train.py --config=configs/imdb_gpu.py --workdir=runs/imdb_gpu \
        --config.init_from=runs/imdb_gpu_pretrain

Not run yet. Every batch has 192 unlabelled reviews besides 64 labelled ones: their predictions must
neither change under the worst small change of the embeddings (Miyato et al. 2017, weight 1,
epsilon 5) nor stay undecided (Sachan et al. 2019, weight 1). Calculated: 3,540 steps, 1.4e16
operations. `benchmarks/gpu_accuracy.py` runs three of these and everything that they need.
"""

from ml_collections import ConfigDict

from lstm_flax.config import recipe_section
from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb_finetune.py` with the sizes of `imdb_gpu_pretrain.py`, without ratios.

    Log-count ratios besides the embeddings are inputs that the language models have never seen, and
    no perturbation reaches them.
    """
    config = load_config("imdb_finetune", [])
    config.init_from = "runs/imdb_gpu_pretrain"
    config.data.max_length = 512
    config.model.embedding_size = 256
    config.model.hidden_size = 512
    config.model.ngram_order = 0
    config.model.embedding_dropout = 0.5
    config.optimizer.learning_rate = 1e-3
    config.training.epochs = 10
    config.training.ema_decay = 0.999
    config.training.checkpoint_interval = 500
    config.recipes.fine_tuning = None
    config.recipes.adversarial = recipe_section("adversarial")
    config.recipes.adversarial.virtual_weight = 1.0
    config.recipes.adversarial.entropy_weight = 1.0
    config.recipes.unlabelled = recipe_section("unlabelled")
    config.recipes.unlabelled.batch_size = 192
    return config
