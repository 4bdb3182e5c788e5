"""Weights to and from torch: recurrent layers (`layers`) and classifiers (`classifier`).

>>> import numpy as np
>>> arrays = {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}
>>> list(from_torch(arrays))  # for LSTM(hidden_size=2, use_bias=False)
['layers_0_forward']

Importing this package loads neither torch nor jax.
"""

from lstm_flax.recurrent.torch_weights.classifier import classifier_from_torch, classifier_to_torch
from lstm_flax.recurrent.torch_weights.layers import from_torch, to_torch

__all__ = ["classifier_from_torch", "classifier_to_torch", "from_torch", "to_torch"]
