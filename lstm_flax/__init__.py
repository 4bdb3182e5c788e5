"""LSTM text classification in JAX and Flax.

Each name is imported on first use, so `import lstm_flax` does not import jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lstm_flax.version import __version__

if TYPE_CHECKING:
    from lstm_flax.config import Config
    from lstm_flax.data.batching import Batcher
    from lstm_flax.errors import UserError
    from lstm_flax.estimator.one_call import train_classifier
    from lstm_flax.estimator.scikit import LSTMClassifier
    from lstm_flax.evaluation.evaluate import evaluate
    from lstm_flax.inference.generator import Generator
    from lstm_flax.inference.predictor import Predictor
    from lstm_flax.models import init_params
    from lstm_flax.models.classifier import TextClassifier
    from lstm_flax.models.language_model import LanguageModel
    from lstm_flax.recurrent import torch_weights
    from lstm_flax.recurrent.layers import GRU, LSTM, RNN
    from lstm_flax.text.encoder import TextEncoder
    from lstm_flax.training.fine_tune import fine_tune
    from lstm_flax.training.losses import ClassificationLoss
    from lstm_flax.training.train import train
    from lstm_flax.training.train_state import TrainState
    from lstm_flax.training.train_step import make_train_step

_HOMES = {
    "Batcher": "data.batching",
    "ClassificationLoss": "training.losses",
    "Config": "config",
    "GRU": "recurrent.layers",
    "Generator": "inference.generator",
    "LSTM": "recurrent.layers",
    "LSTMClassifier": "estimator.scikit",
    "LanguageModel": "models.language_model",
    "Predictor": "inference.predictor",
    "RNN": "recurrent.layers",
    "TextClassifier": "models.classifier",
    "TextEncoder": "text.encoder",
    "TrainState": "training.train_state",
    "UserError": "errors",
    "evaluate": "evaluation.evaluate",
    "fine_tune": "training.fine_tune",
    "init_params": "models",
    "make_train_step": "training.train_step",
    "torch_weights": "recurrent.torch_weights",
    "train": "training.train",
    "train_classifier": "estimator.one_call",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Batcher",
    "ClassificationLoss",
    "Config",
    "Generator",
    "LSTMClassifier",
    "LanguageModel",
    "Predictor",
    "TextClassifier",
    "TextEncoder",
    "TrainState",
    "UserError",
    "__version__",
    "evaluate",
    "fine_tune",
    "init_params",
    "make_train_step",
    "torch_weights",
    "train",
    "train_classifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_flax' has no attribute {name!r}")
    module = importlib.import_module(f"lstm_flax.{_HOMES[name]}")
    return module if name == "torch_weights" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
