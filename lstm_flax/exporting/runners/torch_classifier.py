"""The classifier as a torch module: embedding, recurrent layers, pooling, head.

model = TextClassifier(**json.load(open("model.json"))["architecture"])
arrays = numpy.load("state_dict.npz")
model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
"""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TextClassifier(nn.Module):
    """Logits f32[B, C] of token ids i64[B, T], lengths i64[B] and features f32[B, T, F]."""

    def __init__(self, vocab_size, embedding_size, num_token_features, votes_order, cell,
                 hidden_size, num_layers, bidirectional, pooling, head, num_classes):  # fmt: skip
        super().__init__()
        self.pooling, self.directions = pooling, 1 + bidirectional
        self.embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=0)
        if num_token_features:
            self.ngrams = nn.Linear(num_token_features, embedding_size, bias=False)
        self.recurrent = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](
            embedding_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional
        )
        size = self.directions * hidden_size
        if pooling == "attention":
            self.attention_hidden = nn.Linear(size, size)
            self.attention_score = nn.Linear(size, 1, bias=False)
        outputs = 1 if head == "sigmoid" else num_classes
        self.head = nn.Linear(size * (3 if pooling == "concat" else 1), outputs)
        if votes_order:
            self.votes = nn.Linear(num_token_features, outputs, bias=False)

    def forward(self, token_ids, lengths, features=None):
        """Computes logits; values past a row's length are not read."""
        vectors, ends = self.embedding(token_ids), lengths.cpu()
        if hasattr(self, "ngrams"):
            vectors = vectors + self.ngrams(features)
        rows = pack_padded_sequence(vectors, ends, batch_first=True, enforce_sorted=False)
        rows, states = self.recurrent(rows)
        outputs, _ = pad_packed_sequence(rows, batch_first=True, total_length=vectors.shape[1])
        h_n = states[0] if isinstance(states, tuple) else states
        last = torch.cat(list(h_n[-self.directions :]), -1)
        logits = self.head(self.pool(outputs, last, lengths))
        if hasattr(self, "votes"):
            logits = logits + self.votes(features.sum(1) / lengths[:, None] ** 0.5)
        return logits if logits.shape[1] > 1 else torch.cat([0 * logits, logits], -1)

    def pool(self, outputs, last, lengths):
        """Pools to one vector per text: [B, T, D*H], last [B, D*H] -> [B, D*H or 3*D*H]."""
        steps = torch.arange(outputs.shape[1], device=outputs.device)
        mask = (steps < lengths[:, None])[..., None]
        lowest = torch.finfo(outputs.dtype).min
        if self.pooling == "last":
            return last
        if self.pooling == "attention":
            scores = self.attention_score(torch.tanh(self.attention_hidden(outputs)))
            return (scores.masked_fill(~mask, lowest).softmax(1) * outputs).sum(1)
        mean = outputs.masked_fill(~mask, 0).sum(1) / lengths[:, None]
        largest = outputs.masked_fill(~mask, lowest).amax(1)
        joined = torch.cat([last, largest, mean], -1)
        return {"mean": mean, "max": largest, "concat": joined}[self.pooling]


class Classifier:
    """Runs the module on numpy arrays."""

    def __init__(self, folder, about):
        self.module = TextClassifier(**about["architecture"]).eval()
        with np.load(folder / "state_dict.npz") as arrays:
            self.module.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})

    @torch.inference_mode()
    def __call__(self, token_ids, lengths, features):
        """Logits f32[B, C] of i32[B, T], i32[B] and f32[B, T, F]."""
        ids, ends = torch.from_numpy(token_ids).long(), torch.from_numpy(lengths).long()
        return self.module(ids, ends, torch.from_numpy(features)).numpy()
