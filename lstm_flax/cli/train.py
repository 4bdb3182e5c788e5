"""`lstm-flax train`."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lstm_flax.cli.arguments import (
    Commands,
    add_checkpoint,
    add_command,
    add_overrides,
    add_processes,
    add_split,
    given_path,
)
from lstm_flax.cli.arguments.own_data import add_data, config_of_data
from lstm_flax.training.run.interruption import EXIT_STATUS, Interrupted, leaving_at_once

if TYPE_CHECKING:
    from lstm_flax.config import Config


def add_to(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "train",
        run,
        help="train, or continue a run, then evaluate it on the test split",
        epilog="example:\n  lstm-flax train mine.csv --workdir=runs/mine\n"
        "  lstm-flax train --config=quickstart --workdir=runs/quickstart\n"
        "next:\n  lstm-flax predict --workdir=runs/mine 'Some text.'\n"
        "The same command again continues a run that was stopped.\n"
        "`lstm-flax fields` lists every field.",
    )
    add_data(parser)
    parser.add_argument("--workdir", required=True, type=given_path, help="folder of the run")
    add_split(parser)
    add_checkpoint(parser)
    add_processes(parser)
    add_overrides(parser)
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write events for TensorBoard into the run's folder too",
    )


def run(arguments: argparse.Namespace) -> int:
    """Trains, and prints the results of the evaluation."""
    with leaving_at_once():
        return _train(arguments)


def _train(arguments: argparse.Namespace) -> int:
    config = config_of_data(arguments, arguments.workdir)

    # Imported only now, so a mistake in the configuration is reported at once.
    from lstm_flax.devices.joining import joined

    with joined(arguments.coordinator, arguments.num_processes, arguments.process_id):
        return _train_joined(arguments, config)


def _train_joined(arguments: argparse.Namespace, config: "Config") -> int:
    from lstm_flax.checkpoints.long_runs import prepare_for_long_runs
    from lstm_flax.devices.processes import is_first
    from lstm_flax.devices.settings import prepare_jax
    from lstm_flax.recipes import make_recipes
    from lstm_flax.training.train import train

    prepare_jax()
    prepare_for_long_runs()
    board = None
    if arguments.tensorboard and is_first():
        from lstm_flax.training.run.tensorboard import TensorBoardLog

        board = TensorBoardLog(arguments.workdir / "tensorboard")
    try:
        results = train(
            config,
            arguments.workdir,
            arguments.split,
            arguments.checkpoint,
            make_recipes(config.recipes),
            show_progress=is_first(),
            on_log=board,
        )
        if board is not None:
            board.finish(config.to_dict(), results)
    except Interrupted as stop:
        if is_first():
            print(f"{stop}; the same command continues", file=sys.stderr)
        return EXIT_STATUS
    if is_first():
        print(json.dumps(results))
    return 0
