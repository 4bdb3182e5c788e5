"""The sides of `epoch.py`: different ways to train one model on the same reviews."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from measuring import torch_device
from train_case import compiled_step

from lstm_flax.config import Config
from lstm_flax.data.batching import Batcher, PlannedBatch
from lstm_flax.data.prefetching import prefetch
from lstm_flax.devices.sharding import data_mesh, place_batch
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import TextClassifier
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.losses import ClassificationLoss
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.types import PAD_ID, Batch

HALF = "_bfloat16"  # suffix of a side whose products are bfloat16
SIDES = (
    "ours",
    "torch_tutorial",
    "torch_padded",
    "torch_packed",
    f"ours{HALF}",
    f"torch_padded{HALF}",
)
TUTORIAL_BATCH = 32
LEARNING_RATE = 1e-3


class Side(Protocol):
    """One way to train the model.

    Attributes:
        plan: the batches of its epoch.
    """

    plan: Sequence[PlannedBatch]

    def run(self, batches: Sequence[PlannedBatch]) -> None:
        """Trains on these batches and waits for the device."""

    def loss_and_gradient(self, batch: Batch) -> tuple[float, np.ndarray]:
        """Computes a batch's mean loss and embedding-table gradient, with dropout off."""


class Ours:
    """The package's own step, batches and prefetching."""

    def __init__(self, config: Config, split: TokenizedSplit, params: Any, vocab_size: int) -> None:
        self.batcher = Batcher.from_config(split, None, config.data)
        self.plan = self.batcher.plan(seed=0, epoch=0)
        self.mesh = data_mesh(config.data.batch_size)
        self.model = TextClassifier.from_config(config.model, vocab_size, 2)
        self.params = params
        optimizer = make_optimizer(config.optimizer, len(self.plan))
        self.step = compiled_step(self.model, optimizer, config.training)
        copy = jax.tree.map(jnp.copy, params)
        self.tree = TrainState.create(copy, optimizer, make_key(0)), MetricSums.zero()

    def batches(self, planned: Sequence[PlannedBatch]) -> Iterator[Batch]:
        """Yields the batches, on the device."""
        for batch in planned:
            yield place_batch(self.batcher.make(*batch), self.mesh)

    def run(self, batches: Sequence[PlannedBatch]) -> None:
        """Trains like the package's loop."""
        with prefetch(self.batches(batches)) as ahead:
            for batch in ahead:
                self.tree = self.step(self.tree, batch)
        jax.block_until_ready(self.tree)

    def part_of_time_waiting(self, batches: Sequence[PlannedBatch]) -> float:
        """Measures the fraction of time in which the device is idle because no batch is ready.

        It waits for each step, so any wait for the next batch means that the device is idle.
        """
        waited, start = 0.0, time.perf_counter()
        with prefetch(self.batches(batches)) as ahead:
            for _ in batches:
                before = time.perf_counter()
                batch = jax.block_until_ready(next(ahead))
                waited += time.perf_counter() - before
                self.tree = jax.block_until_ready(self.step(self.tree, batch))
        return waited / (time.perf_counter() - start)

    def loss_and_gradient(self, batch: Batch) -> tuple[float, np.ndarray]:
        """See `Side`."""
        loss = ClassificationLoss(self.model)
        of_batch = jax.value_and_grad(lambda params: loss(params, batch, None)[0])
        value, gradient = jax.jit(of_batch)(self.params)
        return float(value), np.asarray(gradient["embedding"]["embedding"])


class Torch:
    """torch on the package's batches or, as in tutorials, on random ones that it pads."""

    def __init__(
        self, name: str, config: Config, split: TokenizedSplit, params: Any, vocab_size: int
    ) -> None:
        import torch
        from torch_classifier import TorchClassifier

        self.torch = torch
        self.device = torch_device()
        self.halves = name.endswith(HALF)
        name = name.removesuffix(HALF)
        self.config = config
        self.split = split
        self.tutorial = name == "torch_tutorial"
        way = "padded" if name == "torch_padded" else "packed"
        self.is_exact = way == "packed" or not config.model.bidirectional
        self.model = TorchClassifier(config.model, vocab_size, 1, 0, way).load(params)
        self.model.to(self.device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=LEARNING_RATE, fused=not self.tutorial
        )
        self.criterion = torch.nn.BCEWithLogitsLoss()
        self.batcher = Batcher.from_config(split, None, config.data)
        self.plan: Sequence[PlannedBatch] = self.batcher.plan(seed=0, epoch=0)
        if self.tutorial:
            order = np.random.default_rng(0).permutation(len(split))
            lengths = np.minimum(split.lengths, config.data.max_length)
            cuts = range(0, len(order), TUTORIAL_BATCH)
            rows = [order[cut : cut + TUTORIAL_BATCH] for cut in cuts]
            self.plan = [PlannedBatch(part, int(lengths[part].max())) for part in rows]

    def place(self, batch: Batch) -> tuple[Any, Any, Any]:
        """Returns token ids, lengths and labels of the rows that count."""
        rows, torch = int(batch.example_mask.sum()), self.torch
        token_ids = torch.from_numpy(batch.token_ids[:rows]).long()
        labels = torch.from_numpy(batch.labels[:rows]).float()
        if self.device == "cuda":
            token_ids, labels = token_ids.pin_memory(), labels.pin_memory()
        placed = [array.to(self.device, non_blocking=True) for array in (token_ids, labels)]
        return placed[0], torch.from_numpy(batch.lengths[:rows]).long(), placed[1]

    def collate(self, planned: PlannedBatch) -> tuple[Any, Any, Any]:
        """Builds a batch as a tutorial's DataLoader does."""
        torch, longest = self.torch, self.config.data.max_length
        texts = [torch.from_numpy(self.split[i][:longest]).long() for i in planned.indices]
        labels = torch.tensor([self.split.labels[i] for i in planned.indices]).float()
        token_ids = torch.nn.utils.rnn.pad_sequence(texts, True, PAD_ID)
        lengths = torch.tensor([len(text) for text in texts])
        return token_ids.to(self.device), lengths, labels.to(self.device)

    def take_step(self, token_ids: Any, lengths: Any, labels: Any) -> Any:
        """Makes one update; returns the loss, still on the device."""
        self.optimizer.zero_grad()
        loss = self.loss(token_ids, lengths, labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def loss(self, token_ids: Any, lengths: Any, labels: Any) -> Any:
        """Computes a batch's mean loss, with products in bfloat16 by torch's autocast if asked."""
        with self.torch.autocast(self.device, self.torch.bfloat16, enabled=self.halves):
            logits = self.model(token_ids, lengths)[:, 0]
        return self.criterion(logits.float(), labels)

    def run(self, batches: Sequence[PlannedBatch]) -> None:
        """See `Side`."""
        self.model.train()
        if self.tutorial:
            total = 0.0
            for planned in batches:
                total += self.take_step(*self.collate(planned)).item()
            return
        made = (self.place(self.batcher.make(*planned)) for planned in batches)
        with prefetch(made) as ahead:
            for arrays in ahead:
                self.take_step(*arrays)
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def loss_and_gradient(self, batch: Batch) -> tuple[float, np.ndarray]:
        """See `Side`."""
        self.model.eval()  # dropout off
        if self.device == "cuda":
            self.model.train()  # cuDNN's backward pass requires it; this model's rates are 0
        token_ids, lengths, labels = self.place(batch)
        loss = self.loss(token_ids, lengths, labels)
        self.model.zero_grad()
        loss.backward()
        return loss.item(), self.model.embedding.weight.grad.cpu().numpy()


def make_side(
    name: str, config: Config, split: TokenizedSplit, params: Any, vocab_size: int
) -> Side:
    """Makes a side by its name."""
    if not name.startswith("ours"):
        return Torch(name, config, split, params, vocab_size)
    dtype = "bfloat16" if name.endswith(HALF) else "float32"
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
    return Ours(config, split, params, vocab_size)
