"""From token ids to logits with jax alone, on a CPU, an NVIDIA GPU or a TPU."""

import jax
import numpy as np
from jax import export


class Classifier:
    """Calls model.stablehlo; rounds widths up, because jax compiles it once for each shape."""

    def __init__(self, folder, about):
        stored = bytearray((folder / "model.stablehlo").read_bytes())
        self.call = jax.jit(export.deserialize(stored).call)

    def __call__(self, token_ids, lengths, features):
        """Logits f32[B, C] of i32[B, T], i32[B] and f32[B, T, F]."""
        missing = -token_ids.shape[1] % 64
        token_ids = np.pad(token_ids, [(0, 0), (0, missing)])
        features = np.pad(features, [(0, 0), (0, missing), (0, 0)])
        return self.call(token_ids, lengths, features)
