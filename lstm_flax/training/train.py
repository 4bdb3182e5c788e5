"""Training from start to score: open the data, start or continue the run, evaluate it once."""

import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lstm_flax.checkpoints.folder import holds_checkpoint
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.dataset import open_dataset
from lstm_flax.devices.sharding import data_mesh
from lstm_flax.errors import UserError
from lstm_flax.evaluation.evaluate import default_split, evaluate_trained_model
from lstm_flax.evaluation.tables import result_table
from lstm_flax.files import write_text
from lstm_flax.recipes.self_training import training_part
from lstm_flax.recurrent.dispatch import choose_implementation
from lstm_flax.training.classification import ClassificationTask
from lstm_flax.training.language_modelling import LanguageModelTask
from lstm_flax.training.loop import Run
from lstm_flax.training.task import Task
from lstm_flax.training.warm_start import describe_taken, kept_params
from lstm_flax.training.workdir import (
    check_same_run,
    check_workdir,
    only_one,
    stored_results,
)

logger = logging.getLogger(__name__)


def train(
    config: Config,
    workdir: Path,
    split: str | None = None,
    checkpoint: str = "best",
    show_progress: bool = True,
) -> dict[str, Any]:
    """Trains, or continues the run in `workdir`, then evaluates the selected checkpoint once.

    The test split is opened when training has ended; of a test file of the user's own, mistakes and
    unknown labels are looked for before. A run that has ended keeps its results as they are.

    Args:
        config: the run.
        workdir: its folder; created where absent.
        split: what to evaluate on at the end; None for `test`, or for a language model, which must
            not be chosen by test text, `development`.
        checkpoint: which to evaluate: `best` by development score, or `last`.
        show_progress: whether to draw bars and print the table.

    Returns:
        The figures of `results.json`.

    Raises:
        UserError: for data that cannot be had, a folder that holds a different run, or a loss that
            is no longer finite.
        Interrupted: after SIGINT or SIGTERM, the state saved.
    """
    start = time.perf_counter()
    check_workdir(workdir)
    check_implementation(config)
    continued = holds_checkpoint(workdir / "last")
    initial = None
    if config.init_from is not None:
        # A run that has begun holds the weights and the tokenizer itself.
        source = (workdir, "last") if continued else (Path(config.init_from), "best")
        try:
            initial = load_trained_model(*source)
        except UserError as error:
            raise UserError(f"config.init_from = {config.init_from!r}: {error}") from error
        config = adopt_reading(config, initial.metadata.config)
    same_places = check_same_run(config, workdir)
    dataset = open_dataset(
        config, tokenizer=None if initial is None else initial.metadata.tokenizer
    )
    split = split or default_split(config)
    dataset.check_split(split)
    mesh = data_mesh(config.data.batch_size, config.data.unlabelled_batch_size)
    warn_of_undivided_batches(config, mesh.size)
    task: Task
    if config.task == "language_model":
        task = LanguageModelTask(config, dataset, mesh)
    else:
        texts = training_part(config, dataset, workdir, show_progress)
        task = ClassificationTask(config, dataset, mesh, initial, texts)
    if initial is not None and not continued:
        kept = kept_params(initial, dataset.label_names)
        fresh = jax.eval_shape(task.init_params, jax.random.PRNGKey(0))
        logger.info("%s", describe_taken(fresh, kept, config.init_from))
    with only_one(workdir):
        begun = (workdir / "log.jsonl").exists()
        run = Run(task, config, workdir, dataset, mesh, initial)
        try:
            if run.is_finished and same_places:
                scored = run.history.best_step if checkpoint == "best" else run.step
                stored = stored_results(workdir, split, run.step, scored)
                if stored is not None:
                    if show_progress:
                        _tell_finished(run, stored)
                    return stored
            if run.step and not run.is_finished:
                logger.info("%s: continues after step %d of %d", workdir, run.step, run.total_steps)
            elif begun and not run.step:
                logger.info("%s: has no checkpoint yet; starts again at step 0", workdir)
            run.train(show_progress)
        finally:
            run.close()
        results = _score(run, workdir, split, checkpoint, show_progress)
        results["seconds"] = round(time.perf_counter() - start, 3)
        write_text(workdir / "results.json", json.dumps(results) + "\n")
    if show_progress:
        print(result_table(results))
    return results


def _tell_finished(run: Run, results: dict[str, Any]) -> None:
    print(f"finished at step {run.step} already; `lstm-flax evaluate` scores it again")
    print(result_table(results))


def _score(
    run: Run, workdir: Path, split: str, checkpoint: str, show_progress: bool
) -> dict[str, Any]:
    """Evaluates a run that has ended, and tells what its training was."""
    trained = load_trained_model(workdir, checkpoint)
    results = evaluate_trained_model(trained, run.config, split, show_progress)
    results |= {
        "training_seconds": round(run.history.seconds, 3),
        "train_steps": run.step,
        "train_examples": len(run.dataset.split("train")),
        "compilations": run.train_step.compilations,
    }
    if run.config.task == "classifier":
        results["development_accuracy"] = run.history.best_score
    return results


def adopt_reading(config: Config, source: Config) -> Config:
    """The configuration with the way of reading text of the run whose tokenizer it takes over."""
    data = dataclasses.replace(config.data, lowercase=source.data.lowercase)
    return dataclasses.replace(config, data=data, tokenizer=source.tokenizer)


def check_implementation(config: Config) -> None:
    """Makes sure, before any text is read, that the layers can run here; `UserError` if not."""
    model = config.model
    choose_implementation(
        model.implementation,
        model.cell.upper(),
        jnp.dtype(model.dtype),
        model.recurrent_dropout > 0,
    )


def warn_of_undivided_batches(config: Config, devices: int) -> None:
    """Warns where each device would compute what they should share.

    XLA gathers the operands of a call that it cannot divide, as cuDNN's, on every device: the
    results are right, and no sooner there than with one.
    """
    if devices > 1 and config.model.implementation == "cudnn":
        logger.warning(
            "config.model.implementation = 'cudnn': each of the %d devices computes the LSTM of "
            "the whole batch, which cuDNN's call cannot divide; auto divides it",
            devices,
        )
