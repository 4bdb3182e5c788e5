"""`lstm_flax`'s classifier in torch, with the same weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lstm_flax import torch_weights
from lstm_flax.config import ModelConfig
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.types import PAD_ID

WAYS = ("packed", "padded", "flipped")


class TorchClassifier(nn.Module):
    """Embedding, nn.LSTM, pooling, head.

    Args:
        config: configuration of the model; LSTM only, no attention, and no dropout that torch
            lacks.
        vocab_size: V.
        outputs: logits per text.
        num_token_features: F, numbers per token besides its embedding; 0 for none.
        way: how padding is kept out of the results: `packed`, rows packed as in tutorials;
            `padded`, nn.LSTM over the padding, with states taken at each row's last token (a
            backward direction then starts in the padding, and results differ); `flipped`, padded
            and exact in two directions: one nn.LSTM per layer and direction, the backward one on
            rows reversed within their length.
    """

    def __init__(
        self, config: ModelConfig, vocab_size: int, outputs: int, num_token_features: int, way: str
    ) -> None:
        super().__init__()
        if config.cell != "lstm" or config.pooling == "attention" or way not in WAYS:
            raise ValueError(f"{config.cell=}, {config.pooling=}, {way=}")
        self.config = config
        self.way = way
        size, hidden = config.embedding_size, config.hidden_size
        directions = 2 if config.bidirectional else 1
        self.embedding = nn.Embedding(vocab_size, size, padding_idx=PAD_ID)
        self.ngrams = (
            nn.Linear(num_token_features, size, bias=False) if num_token_features else None
        )
        if way == "flipped":
            self.recurrent: nn.Module = nn.ModuleList(
                nn.LSTM(size if layer == 0 else directions * hidden, hidden, batch_first=True)
                for layer in range(config.num_layers)
                for _ in range(directions)
            )
        else:
            self.recurrent = nn.LSTM(
                size,
                hidden,
                config.num_layers,
                bidirectional=config.bidirectional,
                dropout=config.dropout if config.num_layers > 1 else 0.0,
                batch_first=True,
            )
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.layer_dropout = nn.Dropout(config.dropout)
        self.head_dropout = nn.Dropout(config.head_dropout)
        parts = 3 if config.pooling == "concat" else 1
        self.head = nn.Linear(parts * directions * hidden, outputs)

    def load(self, params: Mapping[str, Any]) -> "TorchClassifier":
        """Loads the weights of `lstm_flax.models.classifier.TextClassifier`."""
        with torch.no_grad():
            _copy(self.embedding.weight, params["embedding"]["embedding"])
            if self.ngrams is not None:
                _copy(self.ngrams.weight, np.asarray(params["ngrams"]["kernel"]).T)
            _copy(self.head.weight, np.asarray(params["head"]["kernel"]).T)
            _copy(self.head.bias, params["head"]["bias"])
        if self.way == "flipped":
            directions = range(2 if self.config.bidirectional else 1)
            layers = range(self.config.num_layers)
            names = [
                direction_name(layer, direction) for layer in layers for direction in directions
            ]
            for module, name in zip(self.recurrent, names, strict=True):
                _load_lstm(module, {direction_name(0, 0): params["recurrent"][name]})
        else:
            _load_lstm(self.recurrent, params["recurrent"])
        return self

    def forward(
        self, token_ids: torch.Tensor, lengths: torch.Tensor, features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Computes logits [B, C] of i64[B, T], lengths i64[B] on the CPU, and f32[B, T, F]."""
        embedded = self.embedding_dropout(self.embedding(token_ids))
        if self.ngrams is not None:
            embedded = embedded + self.ngrams(features)
        here = lengths.to(embedded.device, non_blocking=True)
        outputs, last = self._run(embedded, lengths, here)
        if self.config.pooling == "last":
            return self.head(self.head_dropout(last))
        mask = (torch.arange(outputs.shape[1], device=here.device) < here[:, None])[..., None]
        largest = outputs.masked_fill(~mask, torch.finfo(outputs.dtype).min).amax(1)
        mean = outputs.masked_fill(~mask, 0).sum(1) / here[:, None]
        pooled = {"max": [largest], "mean": [mean], "concat": [last, largest, mean]}
        return self.head(self.head_dropout(torch.cat(pooled[self.config.pooling], -1)))

    def _run(
        self, x: torch.Tensor, lengths: torch.Tensor, here: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns outputs [B, T', D*H] and the last layer's final states [B, D*H]."""
        hidden = self.config.hidden_size
        if self.way == "packed":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            packed_outputs, (h_n, _) = self.recurrent(packed)
            last = torch.cat(list(h_n[-2:] if self.config.bidirectional else h_n[-1:]), -1)
            if self.config.pooling == "last":  # the outputs are not needed
                return x, last
            return pad_packed_sequence(packed_outputs, batch_first=True)[0], last
        outputs = self.recurrent(x)[0] if self.way == "padded" else self._flipped(x, here)
        ends = outputs[torch.arange(len(x), device=x.device), here - 1]
        return outputs, torch.cat([ends[:, :hidden], outputs[:, 0, hidden:]], -1)

    def _flipped(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
        directions = 2 if self.config.bidirectional else 1
        for index in range(0, len(self.recurrent), directions):
            if index:
                x = self.layer_dropout(x)
            outputs = [self.recurrent[index](x)[0]]
            if directions == 2:
                backward = self.recurrent[index + 1](_take(x, turned))[0]
                outputs.append(_take(backward, turned))
            x = torch.cat(outputs, -1)
        return x


def _take(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    return x.gather(1, steps[..., None].expand(-1, -1, x.shape[-1]))


def _load_lstm(module: nn.Module, params: Mapping[str, Any]) -> None:
    weights = torch_weights.to_torch(params)
    module.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})


def _copy(weight: torch.Tensor, array: Any) -> None:
    weight.copy_(torch.tensor(np.asarray(array)))
