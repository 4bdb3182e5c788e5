"""The training loop: takes the remaining steps, logs, and selects the best epoch."""

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from lstm_flax.checkpoints.metadata import History
from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import Config
from lstm_flax.data.prefetching import prefetch
from lstm_flax.devices import processes
from lstm_flax.devices.allocator import release_freed_memory
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.sharding import place_everywhere, replicated, results_everywhere
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.files import make_folder, write_text
from lstm_flax.training.run.interruption import Interrupted, StopRequest
from lstm_flax.training.run.progress import NoLog, OnLog, RunLog, progress_bar
from lstm_flax.training.run.saving import RunCheckpoints
from lstm_flax.training.tasks import Task
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.training.warm_start import first_params, take_params

logger = logging.getLogger(__name__)


def _summing(
    step: Callable[[TrainState, Any], tuple[TrainState, MetricSums]],
) -> Callable[[tuple[TrainState, MetricSums], Any], tuple[TrainState, MetricSums]]:
    """Makes a step that adds its metrics to the epoch's sums, so the host need not wait."""

    def summing_step(
        tree: tuple[TrainState, MetricSums], batch: Any
    ) -> tuple[TrainState, MetricSums]:
        state, sums = tree
        state, metrics = step(state, batch)
        return state, sums.merge(metrics)

    return summing_step


class Run:
    """One run: its task, state and folder.

    Attributes:
        task: the model and its data.
        state: see `TrainState`.
        epoch_sums: metric sums since the epoch began.
        step: batches taken.
        total_steps: batches of the whole run.
        history: best development score, sums at the last log line, seconds so far.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        workdir: Path,
        initial: TrainedModel | None = None,
        on_log: OnLog | None = None,
    ) -> None:
        """Builds everything and restores the newest intact checkpoint, if there is one.

        Args:
            task: the model and its data.
            config: the run's configuration, which its checkpoints keep.
            workdir: the run's folder; created if missing.
            initial: where the initial weights come from; None to draw them all.
            on_log: see `train`.
        """
        self.task = task
        self._settings = config.training
        self._is_classifier = config.task == "classifier"
        self.total_steps = config.training.epochs * task.steps_per_epoch
        if config.training.max_steps:
            self.total_steps = min(self.total_steps, config.training.max_steps)
        optimizer = task.make_optimizer(self.total_steps)
        self.train_step = BucketedFunction(
            _summing(task.make_step(optimizer)), donate=True, results=results_everywhere(task.mesh)
        )
        if config.training.early_stopping_patience and not task.dataset.has_development:
            raise UserError(
                "config.training.early_stopping_patience: there is no development part to score; "
                "set config.data.development_fraction"
            )

        def create(given: Any) -> TrainState:
            init_key, key = jax.random.split(make_key(config.training.seed))
            params = take_params(task.init_params(init_key), given)
            average = config.training.ema_decay > 0
            return TrainState.create(params, optimizer, key, average, task.initial_carry())

        self._counted = time.perf_counter()
        make_folder(workdir)
        if processes.is_first():
            write_text(workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")
        self._checkpoints = RunCheckpoints(task, config, workdir)
        restored = self._checkpoints.restore(jax.eval_shape(create, {}))
        if restored is None:
            given = first_params(config, task.dataset, initial)
            state = jax.jit(create, out_shardings=replicated(task.mesh))(given)
            restored = state, self._zero_sums(), History()
        self.state, self.epoch_sums, self.history = restored
        self.step = int(self.state.step)
        if self.step > self.total_steps:
            raise UserError(
                f"config.training.epochs = {config.training.epochs}: the run has already taken "
                f"{self.step} steps, more than the {self.total_steps} of this setting; raise it "
                "and config.training.max_steps to what they were, or choose another --workdir"
            )
        if self.history.best_step is not None and not self.is_finished:
            self._replace_lost_best()
        log = workdir / "log.jsonl"
        self.log = RunLog(log, self.step, on_log) if processes.is_first() else NoLog()

    def _replace_lost_best(self) -> None:
        """Lets the next epoch be the best so far if the checkpoint of the best is gone."""
        if not self._checkpoints.best.steps():
            logger.warning(
                "%s: the best checkpoint, of step %d, is gone; the best of the epochs to come "
                "takes its place",
                self._checkpoints.best.path,
                self.history.best_step,
            )
            self.history = dataclasses.replace(self.history, best_score=None, best_step=None)

    def close(self) -> None:
        """Waits for background saves and closes the files, even if one of them fails."""
        try:
            self._checkpoints.close()
        finally:
            self.log.close()

    @property
    def is_finished(self) -> bool:
        """Returns True if no step is left or patience has run out."""
        patience = self._settings.early_stopping_patience
        return self.step >= self.total_steps or 0 < patience <= self.history.epochs_since

    def summary(self) -> dict[str, Any]:
        """Returns the part of the results that describes the training."""
        summary: dict[str, Any] = {
            "training_seconds": round(self.history.seconds, 3),
            "train_steps": self.step,
            "train_examples": len(self.task.dataset.split("train")),
            "compilations": self.train_step.compilations,
        }
        if self._is_classifier:
            summary["development_accuracy"] = self.history.best_score
        return summary

    def take_steps(self, show_progress: bool) -> None:
        """Compiles for every bucket, then takes all remaining steps, an epoch at a time."""
        with StopRequest(processes.stop_agreed if processes.several() else None) as stop:
            if not self.is_finished:
                tree = (self.state, self.epoch_sums)
                self.train_step.compile(tree, self.task.example_batches(), show_progress)
            if stop.requested:
                raise Interrupted(f"stopped at step {self.step}, before a further one was taken")
            total, done = self._units(self.total_steps), self._units(self.step)
            with progress_bar(total, done, self.task.unit, show_progress) as bar:
                while not self.is_finished:
                    self._train_epoch(self.step // self.task.steps_per_epoch, bar, stop)

    def _units(self, step: int) -> int:
        """Returns the number of texts or tokens in the batches before a step."""
        epoch, batch = divmod(step, self.task.steps_per_epoch)
        return epoch * self.task.units_per_epoch + self.task.units_before(epoch, batch)

    def _train_epoch(self, epoch: int, bar: Any, stop: StopRequest) -> None:
        first = self.step - epoch * self.task.steps_per_epoch
        end = min(self.total_steps, (epoch + 1) * self.task.steps_per_epoch)
        if first == 0:
            self.epoch_sums = self._zero_sums()
            self.history = dataclasses.replace(self.history, logged=(0.0, 0.0, 0, 0))
        since, units = time.perf_counter(), 0
        with prefetch(self.task.batches(epoch, first)) as batches:
            while self.step < end:
                size, batch = next(batches)
                tree = (self.state, self.epoch_sums)
                self.state, self.epoch_sums = self.train_step(tree, batch)
                self.step += 1
                units += size
                bar.update(size)
                at_end = self.step == end
                if self.step % self._settings.log_interval == 0 or at_end:
                    loss = self._log_metrics(epoch, units, since)
                    bar.set_postfix(self._postfix(loss))
                    since, units = time.perf_counter(), 0
                if stop.reached(self.step) and not at_end:
                    self._save_last()
                    raise Interrupted(f"stopped after step {self.step}; saved")
                if self.step % self._settings.checkpoint_interval == 0 and not at_end:
                    self._save_last()
        self._end_epoch(epoch)
        if stop.requested:
            raise Interrupted(f"stopped after step {self.step}; saved")

    def _log_metrics(self, epoch: int, units: int, since: float) -> float:
        """Logs the means since the last line, speed and time left; returns the loss."""
        sums = jax.device_get(self.epoch_sums)  # waits for the device
        speed = units / (time.perf_counter() - since)
        self._check_finite()
        # In float32, as on the device: a resumed run must log the same digits.
        recent = sums.minus(MetricSums.from_numbers(*self.history.logged))
        metrics = self.task.metrics(recent)
        left = self._units(self.total_steps) - self._units(self.step)
        clock = {
            f"{self.task.unit}_per_second": round(speed, 1),
            "seconds_left": round(left / speed),
        }
        self.log.write("train", self.step, epoch=epoch, **metrics, **clock)
        self.history = dataclasses.replace(self.history, logged=sums.to_numbers())
        return metrics["loss"]

    def _end_epoch(self, epoch: int) -> None:
        """Scores the development part, keeps the best checkpoint, and saves."""
        release_freed_memory()
        trained = self.task.metrics(self.epoch_sums)
        metrics = {f"train_{name}": value for name, value in trained.items()}
        score, best = None, self.history.best_score
        if self.task.dataset.has_development:
            scored, score = self.task.score_development(self.state.evaluation_params)
            metrics |= {f"development_{name}": value for name, value in scored.items()}
            temperature = scored.get("temperature", 1.0)
            self.history = dataclasses.replace(self.history, temperature=temperature)
        self.log.write("epoch", self.step, epoch=epoch, **metrics)
        if score is None or best is None or score > best:
            self.history = dataclasses.replace(
                self.history, best_score=score, best_step=self.step, epochs_since=0
            )
            self._check_finite()
            self._count_seconds()
            self._checkpoints.save_best(self.state, self.history)
        else:
            since_best = self.history.epochs_since + 1
            self.history = dataclasses.replace(self.history, epochs_since=since_best)
        self._save_last()

    def _postfix(self, loss: float) -> dict[str, str]:
        best = self.history.best_score
        shown = {"loss": f"{loss:.3f}"}
        return shown if best is None else shown | {"development": self.task.show_score(best)}

    def _check_finite(self) -> None:
        bad = int(self.state.first_bad_step)
        if bad >= 0:
            kept = self._checkpoints.last.steps()
            good = f"the checkpoint of step {kept[0]} is good" if kept else "nothing was saved yet"
            raise UserError(
                f"the loss or its gradient is not finite at step {bad}; {good}; "
                "lower config.optimizer.learning_rate, or set config.optimizer.clip_norm"
            )

    def _save_last(self) -> None:
        self._check_finite()
        self._count_seconds()
        self._checkpoints.save_last(self.state, self.epoch_sums, self.history)

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        seconds = self.history.seconds + now - self._counted
        self.history, self._counted = dataclasses.replace(self.history, seconds=seconds), now

    def _zero_sums(self) -> MetricSums:
        return place_everywhere(MetricSums.zero(), self.task.mesh)
