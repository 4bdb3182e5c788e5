"""`lstm-flax predict`."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_flax.checkpoints.pretrained import SHIPPED, SHIPPED_DESCRIPTION, model_folder
from lstm_flax.cli.arguments import (
    DEFAULT_MODEL,
    Commands,
    add_checkpoint,
    add_command,
    add_overrides,
    given_path,
)
from lstm_flax.display import to_json
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from lstm_flax.inference.predictor import Predictor


def add_to(commands: Commands) -> None:
    """Adds the command to the program's."""
    parser = add_command(
        commands,
        "predict",
        run,
        help="classify texts: one JSON object a text",
        epilog="examples:\n  lstm-flax predict --workdir=runs/imdb 'What a film!'\n"
        "  lstm-flax predict --workdir=runs/imdb --file=reviews.txt\n"
        "  cat reviews.txt | lstm-flax predict --workdir=runs/imdb\n"
        "next:\n  lstm-flax train ... --config.init_from=runs/imdb goes on from this run with\n"
        "  texts of your own",
        log_level=logging.WARNING,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="default: standard input, by line")
    parser.add_argument(
        "--file", help="plain text in UTF-8, one text a line, no table; - for standard input"
    )
    parser.add_argument(
        "--split",
        choices=("train", "development", "test", "unsupervised"),
        help="the texts of a split of the run's own data; to label unlabelled texts, for example",
    )
    parser.add_argument(
        "--workdir",
        type=given_path,
        action="append",
        default=[],
        help="a run, or a checkpoint of it; several answer with the mean of their probabilities"
        + (DEFAULT_MODEL if SHIPPED.is_dir() else ""),
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--config", help="with --split: the run's config.json, to say where its data lies"
    )
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a text; status 2 where any could not be classified."""
    if (bool(arguments.texts) + (arguments.file is not None) + (arguments.split is not None)) > 1:
        raise UserError("give texts, --file or --split, only one of them")
    if arguments.split is None and (arguments.config or arguments.overrides):
        raise UserError("--config and its fields say where a split's texts lie; add --split=NAME")
    with contextlib.ExitStack() as stack:
        lines = None if arguments.split is not None else _open_lines(arguments, stack)

        # Only now, so that a mistake in the arguments is reported at once.
        from lstm_flax.cli.lines import predict_lines, record_of
        from lstm_flax.devices.settings import prepare_jax
        from lstm_flax.inference.predictor import Predictor

        prepare_jax()
        folders = [folder.expanduser() for folder in arguments.workdir] or [model_folder(None)]
        if not arguments.workdir:
            print(SHIPPED_DESCRIPTION, file=sys.stderr)
        predictor = Predictor.from_checkpoint(*folders, checkpoint=arguments.checkpoint)
        if lines is None:
            for prediction in predictor.predict_stream(_texts_of(predictor, arguments)):
                record = {"text": prediction.text} | record_of(prediction)
                print(to_json(record))
            return 0
        failed = False
        for records in predict_lines(predictor, lines, "text" if arguments.texts else "line"):
            for record in records:
                failed |= "error" in record
                print(to_json(record))
            sys.stdout.flush()
    return 2 if failed else 0


def _open_lines(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> Iterable[bytes]:
    """The texts that were given, a line each."""
    from lstm_flax.cli.lines import open_lines

    if arguments.texts:
        return map(os.fsencode, arguments.texts)
    if arguments.file not in (None, "-"):
        return stack.enter_context(open_lines(Path(arguments.file)))
    if sys.stdin is None:
        raise UserError("no texts, no --file, and standard input is closed; give one of them")
    if sys.stdin.isatty():
        print("one text a line, please; Ctrl-D ends", file=sys.stderr)
    # Not sys.stdin.buffer, whose lock the reading thread would hold when Python ends; and no
    # `with` (SIM115), whose close would wait for that thread's read.
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _texts_of(predictor: "Predictor", arguments: argparse.Namespace) -> Sequence[str]:
    """The raw texts of a split of the data that the first model was trained on."""
    from lstm_flax.cli.data_of_model import config_of_model
    from lstm_flax.data.dataset import open_dataset

    metadata = predictor.trained.metadata
    where = str(predictor.trained.path)
    config = config_of_model(metadata.config, arguments.config, arguments.overrides, where)
    dataset = open_dataset(config.data, config.tokenizer, metadata.encoder.tokenizer)
    return dataset.texts(arguments.split).texts
