"""Training from start to score: opens the data, starts or continues the run, evaluates it once."""

import contextlib
import dataclasses
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from lstm_flax.checkpoints.folder import holds_checkpoint, require_kind
from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.config import Config, ModelConfig, read_config
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import open_dataset
from lstm_flax.devices import processes
from lstm_flax.devices.memory import require_memory
from lstm_flax.devices.sharding import data_mesh, warn_of_idle_devices
from lstm_flax.display import escaped_lines
from lstm_flax.errors import UserError
from lstm_flax.evaluation.evaluate import default_split, evaluate_split
from lstm_flax.evaluation.tables import result_table
from lstm_flax.files import expanded, write_text
from lstm_flax.recurrent.implementations.dispatch import choose_implementation
from lstm_flax.recurrent.processor import products_dtype, warn_of_slow_dtype
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.text.vectors import require_vectors
from lstm_flax.training.recipe import Recipe
from lstm_flax.training.run.loop import Run
from lstm_flax.training.run.progress import OnLog
from lstm_flax.training.run.workdir import (
    check_same_run,
    check_workdir,
    only_one,
    stored_results,
    with_checksum,
)
from lstm_flax.training.tasks import Task
from lstm_flax.training.tasks.classifier import ClassifierTask
from lstm_flax.training.tasks.language_model import LanguageModelTask
from lstm_flax.training.train_state import make_key
from lstm_flax.training.warm_start import describe_taken, kept_params

logger = logging.getLogger(__name__)


def train(
    config: Config,
    workdir: str | Path,
    split: str | None = None,
    checkpoint: str = "best",
    recipes: Sequence[Recipe] = (),
    show_progress: bool = True,
    on_log: OnLog | None = None,
) -> dict[str, Any]:
    """Trains, or continues the run in `workdir`, then evaluates the selected checkpoint once.

    The test split is opened only after training has ended; a test file of the user's own is checked
    beforehand for mistakes and unknown labels. A finished run keeps its results unchanged.

    Several processes that have joined (`jax.distributed.initialize`) and make the same call train
    one run: the same batches in the same order, with each process taking its part of the rows.

    Args:
        config: the run's configuration.
        workdir: the run's folder; created if missing.
        split: what to evaluate on at the end; None means `test`, or `development` for a language
            model, which must not be selected on test text.
        checkpoint: the one to evaluate: `best` by development score, or `last`.
        recipes: made from the configuration's sections, see `lstm_flax.recipes.make_recipes`.
        show_progress: True to draw bars and print the table.
        on_log: called as `on_log(step, metrics)` with the numbers of each line of `log.jsonl`, for
            any experiment tracker. An exception it raises ends the run.

    Returns:
        The metrics of `results.json`.

    Raises:
        UserError: `checkpoint` is neither `best` nor `last`, the data is not available, the folder
            holds a different run, or the loss is no longer finite.
        Interrupted: after SIGINT or SIGTERM, with the state saved.
    """
    start = time.perf_counter()
    workdir = Path(workdir)
    require_kind(checkpoint)
    if not recipes and any(vars(config.recipes).values()):
        raise UserError(
            "config.recipes: pass train(..., recipes=make_recipes(config.recipes)) as well"
        )
    require_memory(config, config.tokenizer.vocab_size if exact_size(config) else 0)
    check_workdir(workdir)
    check_implementation(config.model)
    if config.model.pretrained_vectors and not holds_checkpoint(workdir / "last"):
        require_vectors(config.model.pretrained_vectors, config.model.embedding_size)
    initial = _load_initial(config, workdir)
    if initial is not None:
        config = adopt_reading(config, initial.metadata.config)
    data_in_place = check_same_run(config, workdir)
    dtype = processes.from_first(lambda: _dtype_of_run(config.model, workdir))
    warn_of_slow_dtype(dtype)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
    tokenizer = None if initial is None else initial.metadata.encoder.tokenizer
    split = split or default_split(config.task)
    dataset = processes.first_then_others(lambda: _open(config, tokenizer, split))
    processes.require_same(
        json.dumps([str(workdir.absolute()), config.to_dict(), split, dataset.fingerprint]),
        "the processes have different folders, configurations or data; start each with the same "
        "command, in folders that they share",
    )
    task = _make_task(config, dataset, initial, recipes)
    if initial is not None and not holds_checkpoint(workdir / "last"):
        kept = kept_params(initial, dataset.label_names)
        fresh = jax.eval_shape(task.init_params, make_key(0))
        logger.info("%s", describe_taken(fresh, kept, config.init_from))
    with contextlib.ExitStack() as stack:
        processes.from_first(lambda: stack.enter_context(only_one(workdir)))
        begun = (workdir / "log.jsonl").exists()
        run = Run(task, config, workdir, initial, on_log)
        settings = config.to_dict()
        identity = [dataset.fingerprint, config.training.seed]
        identity += [settings[name] for name in ("model", "language_model", "optimizer", "recipes")]
        try:
            scored = run.history.best_step if checkpoint == "best" else run.step
            if run.is_finished and data_in_place:
                stored = processes.from_first(
                    lambda: stored_results(workdir, split, run.step, scored, identity)
                )
                if stored is not None:
                    if show_progress:
                        _print_stored(run.step, stored)
                    return stored
            if run.step and not run.is_finished:
                logger.info("%s: continues after step %d of %d", workdir, run.step, run.total_steps)
            elif begun and not run.step:
                logger.info("%s: has no checkpoint yet; starts again at step 0", workdir)
            run.take_steps(show_progress)
        finally:
            if not processes.is_loss(sys.exc_info()[1]):  # do not wait for a lost process
                run.close()
        trained = load_trained_model(workdir, checkpoint)
        results = evaluate_split(trained, config.data, split, show_progress) | run.summary()
        results["seconds"] = round(time.perf_counter() - start, 3)
        results = with_checksum(results, identity)
        if processes.is_first():
            write_text(workdir / "results.json", json.dumps(results) + "\n")
    if show_progress:
        print(escaped_lines(result_table(results)))
    return results


def _print_stored(step: int, results: dict[str, Any]) -> None:
    print(f"finished at step {step} already; `lstm-flax evaluate` scores it again")
    print(escaped_lines(result_table(results)))


def _dtype_of_run(model: ModelConfig, workdir: Path) -> str:
    """Returns the dtype that this run began with, or will begin with."""
    if model.dtype == "auto" and holds_checkpoint(workdir / "last"):
        with contextlib.suppress(UserError):  # the checkpoint has its own copy
            return read_config(workdir / "config.json").model.dtype
    return products_dtype(model.dtype).name


def _open(config: Config, tokenizer: Tokenizer | None, split: str) -> Dataset:
    """Opens the data and checks its test part; with several processes, encodes all other parts."""
    dataset = open_dataset(config.data, config.tokenizer, tokenizer)
    dataset.check_split(split)
    if processes.several():
        for name in dataset.splits:
            if name != "test":
                dataset.split(name)
    return dataset


def _load_initial(config: Config, workdir: Path) -> TrainedModel | None:
    """Loads the model whose encoder and weights this run takes; None if it takes none.

    That is this run's own newest checkpoint if the run continues, and else the run in `init_from`.
    """
    if config.init_from is None:
        return None
    continued = processes.from_first(lambda: holds_checkpoint(workdir / "last"))
    source = (workdir, "last") if continued else (expanded(config.init_from), "best")
    try:
        return load_trained_model(*source)
    except UserError as error:
        raise UserError(f"config.init_from = {config.init_from!r}: {error}") from error


def _make_task(
    config: Config, dataset: Dataset, initial: TrainedModel | None, recipes: Sequence[Recipe]
) -> Task:
    extra_rows = [recipe.extra_rows for recipe in recipes if recipe.extra_rows]
    mesh = data_mesh(config.data.batch_size, *extra_rows)
    warn_of_idle_devices(config.data.batch_size, mesh.size)
    warn_of_undivided_batches(config.model.implementation, mesh.size)
    if config.task == "language_model":
        return LanguageModelTask(config, dataset, mesh, recipes)
    return ClassifierTask(config, dataset, mesh, initial, recipes)


def warn_of_undivided_batches(implementation: str, devices: int) -> None:
    """Warns if each device would compute the whole batch instead of sharing it.

    For a call that it cannot split, like cuDNN's, XLA gathers the operands on every device: the
    results are right but no faster than with one device.
    """
    if devices > 1 and implementation == "cudnn":
        logger.warning(
            "config.model.implementation = 'cudnn': each of the %d devices computes the LSTM of "
            "the whole batch, which cuDNN's call cannot divide; auto divides it",
            devices,
        )


def adopt_reading(config: Config, source: Config) -> Config:
    """Copies the text settings of the run whose tokenizer is reused into the configuration."""
    data = dataclasses.replace(config.data, lowercase=source.data.lowercase)
    return dataclasses.replace(config, data=data, tokenizer=source.tokenizer)


def exact_size(config: Config) -> bool:
    """Returns True if `tokenizer.vocab_size` is the exact size of the vocabulary, not a limit."""
    return config.tokenizer.kind in ("unigram", "bpe")


def check_implementation(model: ModelConfig) -> None:
    """Checks that the layers can run here before any text is read; raises `UserError` if not."""
    if model.implementation == "auto":  # always finds one, and logs it when the layers run
        return
    # An undecided choice rules nothing out.
    dtype = "float32" if model.dtype == "auto" else model.dtype
    choose_implementation(
        model.implementation,
        model.cell.upper(),
        products_dtype(dtype),
        model.recurrent_dropout > 0,
    )
