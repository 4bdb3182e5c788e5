"""`lstm-flax predict`."""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from lstm_flax.cli.arguments import Commands, add_checkpoint, add_command, add_model
from lstm_flax.errors import UserError


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
    add_model(parser)
    add_checkpoint(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a text; status 2 where any could not be classified."""
    from lstm_flax.cli.lines import open_lines, predict_lines

    if arguments.texts and arguments.file is not None:
        raise UserError("give texts or --file, not both")
    with contextlib.ExitStack() as stack:
        lines: Iterable[bytes]
        if arguments.texts:
            lines = map(os.fsencode, arguments.texts)
        elif arguments.file not in (None, "-"):
            lines = stack.enter_context(open_lines(Path(arguments.file)))
        elif sys.stdin is None:
            raise UserError("no texts, no --file, and standard input is closed; give one of them")
        else:
            # Not sys.stdin.buffer, whose lock the reading thread would hold when Python ends; and
            # no `with` (SIM115), whose close would wait for that thread's read.
            lines = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
            if sys.stdin.isatty():
                print("one text a line, please; Ctrl-D ends", file=sys.stderr)

        # Only now, so that a mistake in what was given is told at once.
        from lstm_flax.checkpoints.pretrained import SHIPPED_DESCRIPTION, model_folder
        from lstm_flax.devices.compilation import keep_compiled_programs
        from lstm_flax.inference.predictor import Predictor

        keep_compiled_programs()
        folder = model_folder(arguments.workdir)
        if arguments.workdir is None:
            print(SHIPPED_DESCRIPTION, file=sys.stderr)
        predictor = Predictor.from_checkpoint(folder, arguments.checkpoint)
        failed = False
        for records in predict_lines(predictor, lines, "text" if arguments.texts else "line"):
            for record in records:
                failed |= "error" in record
                print(json.dumps(record, ensure_ascii=False))
            sys.stdout.flush()
    return 2 if failed else 0
