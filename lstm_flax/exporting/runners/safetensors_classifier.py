"""From token ids to logits with numpy alone; model.safetensors has torch's names and shapes."""

import numpy as np
from safetensors.numpy import load_file


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def step(cell, x, y, h, c):
    """The next h and c; x and y are the gates' sums from the input and from h, both [B, G*H]."""
    if cell == "rnn":
        return np.tanh(x + y), c
    if cell == "gru":
        (xr, xz, xn), (yr, yz, yn) = np.split(x, 3, axis=1), np.split(y, 3, axis=1)
        z = sigmoid(xz + yz)
        return (1 - z) * np.tanh(xn + sigmoid(xr + yr) * yn) + z * h, c
    i, f, g, o = np.split(x + y, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


class Classifier:
    """Embedding, recurrent layers, pooling, head."""

    def __init__(self, folder, about):
        self.about = about["architecture"]
        self.weights = load_file(str(folder / "model.safetensors"))

    def __call__(self, token_ids, lengths, features):
        """Logits f32[B, C] of i32[B, T], i32[B] and f32[B, T, F]."""
        mask = np.arange(token_ids.shape[1]) < lengths[:, None]
        x = self.weights["embedding.weight"][token_ids]
        if self.about["num_token_features"]:
            x = x + features @ self.weights["ngrams.weight"].T
        for layer in range(self.about["num_layers"]):
            suffixes = [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.about["bidirectional"]]
            sides = [self.run(x, mask, suffix) for suffix in suffixes]
            x, last = (np.concatenate(arrays, axis=-1) for arrays in zip(*sides, strict=True))
        logits = self.linear(self.pool(x, last, mask[..., None]), "head")
        if self.about["votes_order"]:
            sums = features.sum(axis=1) / np.sqrt(lengths[:, None], dtype=np.float32)
            logits = logits + sums @ self.weights["votes.weight"].T
        return logits if logits.shape[1] > 1 else np.concatenate([0 * logits, logits], axis=1)

    def run(self, x, mask, suffix):
        """Runs one direction: outputs [B, T, H], zero past each row's length, final h [B, H]."""
        w = {kind: self.weights[f"recurrent.{kind}{suffix}"]
             for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
        x = x @ w["weight_ih"].T + w["bias_ih"]
        h = c = np.zeros((len(x), self.about["hidden_size"]), np.float32)
        outputs = np.zeros((*mask.shape, h.shape[1]), np.float32)
        steps = range(mask.shape[1])
        for t in reversed(steps) if suffix.endswith("reverse") else steps:
            y, here = h @ w["weight_hh"].T + w["bias_hh"], mask[:, t, None]
            new_h, new_c = step(self.about["cell"], x[:, t], y, h, c)
            h, c = np.where(here, new_h, h), np.where(here, new_c, c)
            outputs[:, t] = h * here
        return outputs, h

    def pool(self, outputs, last, mask):
        """Pools to one vector per text."""
        mean = outputs.sum(axis=1) / mask.sum(axis=1)
        largest = np.where(mask, outputs, -np.inf).max(axis=1)
        if self.about["pooling"] == "attention":
            scores = self.linear(
                np.tanh(self.linear(outputs, "attention_hidden")), "attention_score"
            )
            scores = np.where(mask, scores, -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            return (weights / weights.sum(axis=1, keepdims=True) * outputs).sum(axis=1)
        joined = np.concatenate([last, largest, mean], axis=1)
        pooled = {"last": last, "mean": mean, "max": largest, "concat": joined}
        return pooled[self.about["pooling"]]

    def linear(self, x, name):
        """A linear layer."""
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)
