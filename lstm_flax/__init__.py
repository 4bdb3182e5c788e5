"""LSTM text classification in JAX and Flax.

The names below are loaded when they are first used, so that `import lstm_flax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lstm_flax.version import __version__

if TYPE_CHECKING:
    from lstm_flax.errors import UserError
    from lstm_flax.inference.predictor import Predictor
    from lstm_flax.recurrent import torch_weights
    from lstm_flax.recurrent.layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "Predictor", "UserError", "__version__", "torch_weights"]


def __getattr__(name: str) -> Any:
    if name in ("GRU", "LSTM", "RNN"):
        return getattr(importlib.import_module("lstm_flax.recurrent.layers"), name)
    if name == "Predictor":
        return importlib.import_module("lstm_flax.inference.predictor").Predictor
    if name == "UserError":
        return importlib.import_module("lstm_flax.errors").UserError
    if name == "torch_weights":
        return importlib.import_module("lstm_flax.recurrent.torch_weights")
    raise AttributeError(f"module 'lstm_flax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
