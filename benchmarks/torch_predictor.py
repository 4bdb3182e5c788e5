"""A trained classifier in torch: texts in, labels out, for `inference.py`."""

from collections.abc import Sequence

import numpy as np
import torch
from measuring import torch_device
from torch_classifier import TorchClassifier

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.data.batching import Batcher
from lstm_flax.inference.prediction import Prediction
from lstm_flax.text.tokenized import TokenizedSplit


class TorchPredictor:
    """The weights and the text encoder of a checkpoint; see `TorchClassifier` for `way`.

    With `halves`, products are in bfloat16 through torch's autocast.
    """

    def __init__(self, trained: TrainedModel, way: str, halves: bool = False) -> None:
        self._halves = halves
        self._metadata = metadata = trained.metadata
        model = TorchClassifier(
            metadata.config.model,
            metadata.encoder.vocab_size,
            trained.params["head"]["bias"].shape[0],
            metadata.encoder.num_token_features,
            way,
        )
        self._device = torch_device()
        self._model = model.load(trained.params).to(self._device).eval()

    def predict(self, texts: Sequence[str], batch_size: int) -> list[Prediction]:
        """Answers in order; batches have texts of similar length, as far as possible."""
        metadata = self._metadata
        encoded, unknown = metadata.encoder.tokenizer.encode_measured(texts)
        split = TokenizedSplit.from_sequences(encoded, np.zeros(len(texts)))
        order = np.argsort(split.lengths, kind="stable")
        parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        rows = np.empty((len(texts), len(metadata.label_names)), np.float32)
        with torch.inference_mode():
            waiting = [(part, self._probabilities(split, part)) for part in parts]
            for part, probabilities in waiting:
                rows[part] = probabilities.cpu().numpy()
        names = metadata.label_names
        return [
            Prediction(
                text,
                names[int(row.argmax())],
                dict(zip(names, map(float, row), strict=True)),
                unknown=float(part),
            )
            for text, row, part in zip(texts, rows, unknown, strict=True)
        ]

    def _probabilities(self, split: TokenizedSplit, rows: np.ndarray) -> torch.Tensor:
        encoder, data = self._metadata.encoder, self._metadata.config.data
        batcher = Batcher.from_config(split, encoder, data, len(rows))
        longest = int(min(split.lengths[rows].max(), data.max_length))
        batch = batcher.make(rows, longest)  # no filler rows, and no wider than necessary
        features = None
        if batch.token_features is not None:
            features = torch.from_numpy(batch.token_features).to(self._device)
        token_ids = torch.from_numpy(batch.token_ids).to(self._device)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._halves):
            logits = self._model(token_ids, torch.from_numpy(batch.lengths).long(), features)
        logits = logits.float()
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], -1)
        return torch.softmax(logits / self._metadata.history.temperature, -1)
