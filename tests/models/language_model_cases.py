"""Small language models and made-up pieces of text for them, and the softmax written out."""

import functools
from typing import Any

import jax
import numpy as np

from lstm_flax.config import Config
from lstm_flax.models import init_params
from lstm_flax.models.language_model import LanguageModel, read_piece
from tests.recurrent.recurrent_cases import random_like
from tests.training.step_cases import changed

VOCAB = 40
# In one program, of the model given: operation by operation it takes seconds to compile.
jit_read = jax.jit(read_piece, static_argnums=0)


def small_model(
    config: Config, vocab_size: int = VOCAB, **fields: Any
) -> tuple[LanguageModel, Any]:
    """The language model of a configuration with fields of `model` changed, and parameters.

    They are drawn by NumPy: the model's own start takes seconds to compile.
    """
    config = changed(config, model=fields)
    model = LanguageModel.from_config(config.model, config.language_model, vocab_size)
    shapes = jax.eval_shape(functools.partial(init_params, model), jax.random.PRNGKey(0))
    return model, random_like(shapes, seed=0)


def random_ids(*shape: int, seed: int = 0) -> np.ndarray:
    """Ids of tokens that are text."""
    return np.random.default_rng(seed).integers(4, VOCAB, shape).astype(np.int32)


def naive_losses(queries: Any, targets: Any, table: Any, bias: Any) -> np.ndarray:
    """Minus the log probability of each target, in float64."""
    logits = (np.asarray(queries, np.float64) @ np.asarray(table, np.float64).T) + bias
    normalizer = np.log(np.exp(logits).sum(axis=1))
    return np.asarray(normalizer - logits[np.arange(len(targets)), targets])
