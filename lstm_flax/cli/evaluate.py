"""`lstm-flax evaluate`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_model,
    add_place_of_data,
    add_processes,
    add_split,
    chosen_model,
    given_path,
)
from lstm_flax.display import escaped_lines, to_json
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from lstm_flax.checkpoints.restore import TrainedModel


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        help="score a checkpoint on a split, or on a labelled file",
        epilog="examples:\n  lstm-flax evaluate --workdir=runs/imdb --split=development\n"
        "  lstm-flax evaluate --workdir=runs/imdb --file=more.csv --label_column=sentiment\n"
        "next:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'",
    )
    add_place_of_data(parser)
    add_model(parser)
    add_split(parser)
    add_checkpoint(parser)
    add_processes(parser)
    parser.add_argument(
        "--file",
        type=given_path,
        help="score only these labelled texts: a table, or a folder with one folder per class",
    )
    parser.add_argument("--text_column", help="in --file; default: as in the run's data, or found")
    parser.add_argument("--label_column", help="in --file; likewise")


def run(arguments: argparse.Namespace) -> int:
    """Prints the scores; for a run on a split of its data, also saves them in its folder."""
    from lstm_flax.devices.joining import joined

    with joined(arguments.coordinator, arguments.num_processes, arguments.process_id):
        return _evaluate(arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    from lstm_flax.checkpoints.restore import load_trained_model
    from lstm_flax.devices.processes import is_first
    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.evaluation.evaluate import evaluate_file
    from lstm_flax.evaluation.tables import result_table
    from lstm_flax.files import write_text

    of_data = arguments.config or arguments.split or arguments.overrides
    if arguments.file is not None and of_data:
        raise UserError("--file: sets what to score; leave out --config, --split and fields")
    if arguments.file is None and (arguments.text_column or arguments.label_column):
        raise UserError("--text_column, --label_column: name columns of a file; add --file=PATH")
    file = arguments.file
    if file is not None and not file.exists():
        raise UserError(f"--file={file}: no such file or folder; check the path")
    prepare_jax()
    workdir = chosen_model(arguments.workdir)
    trained = load_trained_model(workdir, arguments.checkpoint)
    if file is not None:
        columns = (arguments.text_column, arguments.label_column)
        results = evaluate_file(trained, file, *columns, show_progress=is_first())
    else:
        results = _on_split(arguments, workdir, trained, is_first())
    if not is_first():
        return 0
    print(escaped_lines(result_table(results)))
    print(to_json(results))
    if file is None and (workdir / "config.json").exists():  # not a copied checkpoint
        write_text(workdir / "evaluation.json", json.dumps(results) + "\n")
    return 0


def _on_split(
    arguments: argparse.Namespace, workdir: Path, trained: "TrainedModel", show_progress: bool
) -> dict[str, Any]:
    from lstm_flax.cli.arguments.data_of_model import config_of_model
    from lstm_flax.evaluation.evaluate import default_split, evaluate_split

    config = config_of_model(
        trained.metadata.config, arguments.config, arguments.overrides, str(workdir)
    )
    split = arguments.split or default_split(config.task)
    return evaluate_split(trained, config.data, split, show_progress)
