"""The training loop: take the steps that are left, log, select, save."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lstm_flax.config import Config
from lstm_flax.data.batching import BatchPlan, make_batch, prefetch
from lstm_flax.data.dataset import Dataset
from lstm_flax.errors import UserError
from lstm_flax.training.checkpoints import (
    CheckpointFolder,
    Metadata,
    describe_machine,
    open_checkpoints,
)
from lstm_flax.training.evaluation import Evaluator
from lstm_flax.training.interruption import Interrupted, StopRequest
from lstm_flax.training.metrics import MetricSums, classification_metrics
from lstm_flax.training.objectives import class_weights
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.progress import RunLog, progress_bar, write_text
from lstm_flax.training.sharding import abstract, data_mesh, place_batch, replicated
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import BucketedFunction, make_train_step
from lstm_flax.training.trained_model import TrainedModel, build_model, init_params, take_params
from lstm_flax.types import Batch

logger = logging.getLogger(__name__)


class Run:
    """One run: its data, model, state and folder.

    Attributes:
        step: batches taken.
        total_steps: batches of the whole run.
        history: best development score, its step, and epochs since.
        stopped_early: whether the development score ended the run.
    """

    def __init__(
        self, config: Config, workdir: Path, dataset: Dataset, initial: TrainedModel | None = None
    ) -> None:
        """Builds everything and restores the newest whole checkpoint, if there is one.

        Args:
            config: the run.
            workdir: its folder; created where absent.
            dataset: encoded by the run's tokenizer.
            initial: where the first weights come from; None to draw them all.
        """
        self.config = config
        self.dataset = dataset
        self.train_split = dataset.split("train")
        self.development = dataset.split("development") if dataset.has_development else None
        self.steps_per_epoch = len(self._plan(0))
        self.total_steps = config.training.epochs * self.steps_per_epoch
        model = build_model(config, dataset.tokenizer.vocab_size, len(dataset.label_names))
        self.mesh = data_mesh(config.data.batch_size)
        optimizer = make_optimizer(config.optimizer, self.total_steps)
        step = make_train_step(
            model,
            optimizer,
            config.training,
            jnp.asarray(
                class_weights(config.training, dataset.label_names, self.train_split.labels)
            ),
        )
        self.train_step = BucketedFunction(step, donate=True)
        self.evaluator = Evaluator(model, config.data, self.mesh)
        self.stopped_early = False
        self.history: dict[str, Any] = {"best_score": None, "best_step": None, "epochs_since": 0}

        def create() -> TrainState:
            init_key, key = jax.random.split(jax.random.PRNGKey(config.training.seed))
            params = init_params(model, init_key)
            if initial is not None:
                params = take_params(params, initial.params)
            return TrainState.create(params, optimizer, key, config.training.ema_decay > 0)

        workdir.mkdir(parents=True, exist_ok=True)
        write_text(workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")
        self.last = open_checkpoints(workdir, "last")
        self.best = open_checkpoints(workdir, "best")
        restored = self._restore(abstract(jax.eval_shape(create), self.mesh))
        self.state = restored or jax.jit(create, out_shardings=replicated(self.mesh))()
        self.step = int(self.state.step)
        self.log = RunLog(workdir / "log.jsonl", self.step)

    def close(self) -> None:
        """Waits for saves in the background and closes the files."""
        self.last.close()
        self.best.close()
        self.log.close()

    def train(self, show_progress: bool) -> None:
        """Takes all steps that are left, an epoch at a time."""
        per_epoch = len(self.train_split)
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        done = epoch * per_epoch + sum(len(self._plan(epoch)[k][0]) for k in range(batch))
        bar = progress_bar(self.config.training.epochs * per_epoch, done, show_progress)
        with bar, StopRequest() as stop:
            for epoch in range(epoch, self.config.training.epochs):  # noqa: B020
                if self._patience_is_over():
                    self.stopped_early = True
                    break
                self._train_epoch(epoch, bar, stop)

    def _train_epoch(self, epoch: int, bar: Any, stop: "StopRequest") -> None:
        settings = self.config.training
        first = self.step - epoch * self.steps_per_epoch
        if first == 0:
            self.state = self.state.replace(
                epoch_sums=jax.device_put(MetricSums.zero(), replicated(self.mesh))
            )
        logged, since, texts = jax.device_get(self.state.epoch_sums), time.perf_counter(), 0
        with prefetch(self._batches(epoch, first)) as batches:
            for size, batch in batches:
                self.state = self.train_step(self.state, batch)
                self.step += 1
                texts += size
                bar.update(size)
                at_end = self.step % self.steps_per_epoch == 0
                if self.step % settings.log_interval == 0 or at_end:
                    sums = jax.device_get(self.state.epoch_sums)
                    self._check_finite()
                    figures = sums.minus(logged).compute()
                    speed = texts / (time.perf_counter() - since)
                    self.log.write(
                        "train", self.step, epoch=epoch, **figures, texts_per_second=round(speed, 1)
                    )
                    bar.set_postfix(self._postfix(figures["loss"]))
                    logged, since, texts = sums, time.perf_counter(), 0
                if stop.requested and not at_end:
                    self._save(self.last)
                    raise Interrupted(f"stopped after step {self.step}; saved")
                if self.step % settings.checkpoint_interval == 0 and not at_end:
                    self._save(self.last)
        self._end_epoch(epoch)
        if stop.requested:
            raise Interrupted(f"stopped after step {self.step}; saved")

    def _end_epoch(self, epoch: int) -> None:
        """Scores the development part, selects, saves."""
        figures = {f"train_{k}": v for k, v in self.state.epoch_sums.compute().items()}
        if self.development is not None:
            logits = self.evaluator.logits(self.state.evaluation_params, self.development)
            scored = classification_metrics(logits, self.development.labels)
            figures |= {f"development_{k}": scored[k] for k in ("accuracy", "loss")}
        score = figures.get("development_accuracy")
        best = self.history["best_score"]
        improved = score is None or best is None or score > best
        if improved:
            self.history = {"best_score": score, "best_step": self.step, "epochs_since": 0}
        else:
            self.history = self.history | {"epochs_since": self.history["epochs_since"] + 1}
        self.log.write("epoch", self.step, epoch=epoch, **figures)
        if improved:
            self._save(self.best)
        self._save(self.last)

    def _patience_is_over(self) -> bool:
        patience = self.config.training.early_stopping_patience
        return 0 < patience <= self.history["epochs_since"]

    def _postfix(self, loss: float) -> dict[str, str]:
        best = self.history["best_score"]
        shown = {"loss": f"{loss:.3f}"}
        return shown if best is None else shown | {"development": f"{best:.2%}"}

    def _check_finite(self) -> None:
        bad = int(self.state.first_bad_step)
        if bad >= 0:
            kept = self.last.steps()
            good = (
                f"the checkpoint of step {kept[0]} is good"
                if kept
                else "no checkpoint was saved yet"
            )
            raise UserError(
                f"the loss is not finite at step {bad}; {good}; "
                "lower config.optimizer.learning_rate or config.optimizer.clip_norm"
            )

    def _save(self, folder: CheckpointFolder) -> None:
        self._check_finite()
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        metadata = Metadata(
            config=self.config,
            label_names=self.dataset.label_names,
            tokenizer=self.dataset.tokenizer,
            position={"epoch": epoch, "batch": batch},
            history=self.history,
        )
        folder.save(self.step, self.state, metadata)

    def _restore(self, like: TrainState) -> TrainState | None:
        """The newest checkpoint of `last` that can be read; warns of those that cannot."""
        steps = self.last.steps()
        for step in steps:
            try:
                metadata = self.last.metadata(step)
                state = self.last.restore_state(step, like)
            except UserError:
                raise
            except Exception as error:  # whatever Orbax makes of a damaged file
                reason = str(error).splitlines()[0][:200]
                logger.warning(
                    "%s/%d cannot be read and was moved to %s (%s); the run continues from the one "
                    "before",
                    self.last.path,
                    step,
                    self.last.set_aside(step),
                    reason,
                )
                continue
            if metadata.tokenizer.fingerprint != self.dataset.tokenizer.fingerprint:
                raise UserError(
                    f"{self.last.path}: was trained with another tokenizer than the data's cache "
                    "holds; choose another --workdir"
                )
            was, now = self.last.machine(step), describe_machine()
            if was != now:
                logger.warning(
                    "saved on %s, continued on %s: the last bits of results may differ",
                    was,
                    now,
                )
            self.history = metadata.history
            return state
        if steps:
            raise UserError(
                f"{self.last.path}: no checkpoint can be read; restore the folder from a copy or "
                "choose another --workdir"
            )
        return None

    def _plan(self, epoch: int) -> BatchPlan:
        config = self.config
        return BatchPlan(
            self.train_split.lengths,
            batch_size=config.data.batch_size,
            bucket_widths=config.data.bucket_widths,
            max_length=config.data.max_length,
            seed=config.training.seed,
            epoch=epoch,
        )

    def _batches(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        data, plan = self.config.data, self._plan(epoch)
        for k in range(first, len(plan)):
            indices, width = plan[k]
            batch = make_batch(
                self.train_split, indices, width, data.batch_size, data.max_length, data.truncation
            )
            yield len(indices), place_batch(batch, self.mesh)
