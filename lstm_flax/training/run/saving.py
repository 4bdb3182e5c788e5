"""A run's checkpoints: `last`, from which it continues, and `best`, by development score."""

import logging
from pathlib import Path
from typing import Any

import jax

from lstm_flax.checkpoints.folder import CheckpointFolder, evaluated_item, open_checkpoints
from lstm_flax.checkpoints.manifest import DamagedCheckpoint
from lstm_flax.checkpoints.metadata import History, Metadata, describe_machine
from lstm_flax.config import Config, refuse_changes
from lstm_flax.devices.sharding import abstract
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.training.tasks import Task
from lstm_flax.training.train_state import TrainState, from_trees, to_trees

logger = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves a run's state and restores it.

    Attributes:
        last: the newest states.
        best: the weights of the best epoch so far.
    """

    def __init__(self, task: Task, config: Config, workdir: Path) -> None:
        """Opens both folders for writing.

        Args:
            task: the model and its data.
            config: the run's configuration, which its checkpoints keep.
            workdir: the run's folder.
        """
        self.last = open_checkpoints(workdir, "last")
        self.best = open_checkpoints(workdir, "best")
        self._task = task
        self._config = config

    def save_last(self, state: TrainState, epoch_sums: MetricSums, history: History) -> None:
        """Starts saving everything that the run needs to continue.

        Raises:
            UserError: this checkpoint, or the one started before, cannot be written.
        """
        self._save(self.last, to_trees(state, epoch_sums), state, history)

    def save_best(self, state: TrainState, history: History) -> None:
        """Saves the weights to evaluate, completely, so a later `last` can rely on them.

        Raises:
            UserError: they cannot be written.
        """
        item = evaluated_item(self._config.training.ema_decay)
        self._save(self.best, {item: state.evaluation_params}, state, history)
        self.best.wait()

    def close(self) -> None:
        """Waits for background saves, even if one of them fails.

        Raises:
            UserError: a checkpoint cannot be written.
        """
        try:
            self.last.close()
        finally:
            self.best.close()

    def restore(self, like: TrainState) -> tuple[TrainState, MetricSums, History] | None:
        """Restores the newest intact state; warns of damaged checkpoints and sets them aside.

        Args:
            like: the shapes of the state.

        Returns:
            The state, the epoch's metric sums and the history; None if nothing has been saved.

        Raises:
            UserError: a checkpoint is of another run or other data, or all in `last` are damaged.
        """
        restored = self._newest(like)
        for step in self.best.steps():  # Orbax saves no step below one already in the folder
            try:
                self._require_own(self.best.metadata(step), f"{self.best.path}/{step}")
            except DamagedCheckpoint as error:
                _set_aside(self.best, step, error)
        return restored

    def _save(
        self, folder: CheckpointFolder, trees: dict[str, Any], state: TrainState, history: History
    ) -> None:
        step = int(state.step)
        metadata = Metadata(
            config=self._config,
            label_names=self._task.dataset.label_names,
            encoder=self._task.encoder,
            data_fingerprint=self._task.dataset.fingerprint,
            position=self._position(step),
            history=history,
            machine=describe_machine(),
        )
        folder.save(step, trees, metadata)

    def _position(self, step: int) -> dict[str, int]:
        epoch, batch = divmod(step, self._task.steps_per_epoch)
        return {"epoch": epoch, "batch": batch}

    def _newest(self, like: TrainState) -> tuple[TrainState, MetricSums, History] | None:
        trees = abstract(jax.eval_shape(to_trees, like, MetricSums.zero()), self._task.mesh)
        for step in self.last.steps():
            try:
                metadata = self.last.metadata(step)
                where = f"{self.last.path}/{step}"
                self._require_own(metadata, where)
                if metadata.position != self._position(step):
                    raise _of_other_data(where)
                state, epoch_sums = from_trees(self.last.restore(step, trees), like)
            except DamagedCheckpoint as error:
                _set_aside(self.last, step, error)
                continue
            was, now = metadata.machine, describe_machine()
            if was != now:
                logger.warning(
                    "saved on %s, continued on %s: the last bits of results may differ", was, now
                )
            return state, epoch_sums, metadata.history
        if self.last.unreadable.exists():
            raise UserError(
                f"{self.last.path}: no checkpoint can be read; restore the folder from a copy, "
                "choose another --workdir, or remove this one to start afresh"
            )
        return None

    def _require_own(self, metadata: Metadata, where: str) -> None:
        """Raises `UserError` if a checkpoint belongs to another run or other data."""
        refuse_changes(metadata.config, self._config, where)
        dataset = self._task.dataset
        if (metadata.label_names, metadata.data_fingerprint) != (
            dataset.label_names,
            dataset.fingerprint,
        ):
            raise _of_other_data(where)


def _set_aside(folder: CheckpointFolder, step: int, error: DamagedCheckpoint) -> None:
    aside = folder.set_aside(step)
    logger.warning("the checkpoint of step %d is damaged (%s) and is now %s", step, error, aside)


def _of_other_data(where: str) -> UserError:
    return UserError(
        f"{where}: was trained on other data: texts, labels or the tokenizer have changed; "
        "restore them, or choose another --workdir"
    )
